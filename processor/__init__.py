"""The stream: wire shapes, stages, roles, dead letters, replay and the command line."""
