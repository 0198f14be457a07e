"""Evaluation reports: when one is due, what it says, how it looks, and how it reaches its readers."""
