"""The conversations that `examples/capture_generations.py` has with the stand-in provider."""
