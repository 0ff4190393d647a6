"""When a convention is accepted without asking, and when a field is called wrong. One place, calibrated on real data.

`Testing/benchmarks/convention_table.py` measures what these numbers do on real pairs and real network fields and
writes ``Docs/conventions.md``.
"""

MARGIN = 3.0
"""Standard errors (over blocks of the image) by which the best meaning must beat every other one."""

GAIN = 3.0
"""Standard errors by which the best meaning must beat the volumes as they lie."""

CLOSE = 0.12
"""Two meanings whose displacements differ by less than this share (rms) need no margin: either does."""

TIE = 2.0
"""Within so many standard errors of the best, a convention that programs write goes before one that none does."""

CONTRADICTION = 4.0
"""Standard errors by which another meaning must beat what the file states for the file to be doubted."""

ROUGH = 0.45
"""Roughness (`statistics.roughness`) from which the vectors look like noise; real fields stay below 0.25."""

FOLDED_PERCENT = 1.0
"""Folding above this is reported."""

LINEAR_SHARE = 0.9
"""A best linear fit that explains this share of the displacements' energy is a linear alignment left in the field."""

LINEAR_MM = 10.0
"""... or that alone moves the volume's corners by so many mm on average."""

CLIFF = 0.25
"""Mean displacement at the border of the field, as a share of its 99th percentile, from which it ends in a cliff."""
