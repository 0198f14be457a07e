"""The judge role: tasks in, results out; retries, budgets and parked tasks."""
