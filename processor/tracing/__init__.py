"""Spans of evaluations and judge calls for an OpenTelemetry collector. Nothing is imported unless it is switched on."""
