"""What ties Licet to other tools, one module each; nothing here is imported by anything else."""
