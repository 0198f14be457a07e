"""Live windows: counts per evaluation and minute, hour and day, and the signal that a pass rate shifted."""
