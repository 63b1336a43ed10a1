"""What happens at a gate, and who is told: the log, subscribers, webhooks and figures."""
