"""What a license limits in number: how much was used, who sits, and what the vendor is told."""
