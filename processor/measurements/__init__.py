"""Carries out measurements of judges."""
