"""How many labels the API needs before it shows a figure. The calculator shows every figure that it can compute.

Each interval covers at least 93 % at these numbers (`benchmarks/trust.py`).
"""

from __future__ import annotations

PAIRS = 20
"""Pairs for any figure of agreement."""
COEFFICIENT_PAIRS = 30
"""Pairs for kappa and AC1."""
HUMAN_PASSES = 10
"""Human passes for the sensitivity."""
HUMAN_FAILS = 10
"""Human fails for the specificity."""
SLICE_PAIRS = 20
"""Pairs for a slice."""
ERROR_PAIRS = 30
"""Pairs for the mean absolute error: most errors are 0 and few are large, so that t covers too little below."""
SCORE_LABELS = 100
"""Labels for a corrected mean score: PPI++ has a large-sample interval, which covers 87 % with 20 labels."""
BOOTSTRAP_ITEMS = 60
"""Items for the bootstrap of a mean difference: percentiles of 20 skewed costs cover 92 %."""
