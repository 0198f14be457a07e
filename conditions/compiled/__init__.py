"""Condition sets compiled to Python: the same decisions as `conditions.interpreter`, fast."""
