"""How a report reaches its readers: e-mail, Slack, signed webhooks."""
