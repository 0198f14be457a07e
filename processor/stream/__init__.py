"""The loop of every role: poll, work, produce and commit together."""
