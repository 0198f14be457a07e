"""Results over time: live windows, evaluation reports and their delivery, clusters."""
