"""Real generations, example evaluations, and the demo."""
