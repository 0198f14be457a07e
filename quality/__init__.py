"""Pure statistics of verdicts: how far a judge can be believed.

Numbers come in and numbers go out. No module does I/O, asks a clock or draws from a shared source of random numbers;
randomness is an argument. `compute` is the calculator over all of it, with JSON on both sides.

Most of the room needs only Python. Modules that need numpy, scipy or scikit-learn load them when they are needed and
raise `quality.extra.ExtraMissing` when the extra `quality` is not installed.
"""
