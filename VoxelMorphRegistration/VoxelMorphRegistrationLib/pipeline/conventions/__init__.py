"""What the numbers of a foreign displacement field mean: said, found out, and put right."""
