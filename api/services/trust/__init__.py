"""How far the judge of an evaluation can be believed, from labels and stored results."""
