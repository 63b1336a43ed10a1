"""What ties Licet to other tools."""
