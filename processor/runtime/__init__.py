"""The process around the roles: start, health, watchdog, logs, shutdown."""
