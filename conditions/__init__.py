"""Condition sets: which evaluations an event runs. Pure: no I/O, no clock."""
