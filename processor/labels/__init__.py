"""Sends labels from the SQL store to Kafka."""
