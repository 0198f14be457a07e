"""Hog: the language of deterministic evaluators, compiled to Python code objects."""
