"""The core: everything Licet decides, with no knowledge of any web framework."""
