"""Dead letters: how a record that cannot be processed is kept, and sent back."""
