"""How good a registration is: two numbers in passing (`quick`), or a whole check (`results`)."""
