"""Who may come in: API keys, what each opens, and how fast."""
