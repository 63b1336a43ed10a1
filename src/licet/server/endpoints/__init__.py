"""The endpoints, a module for each group; who may use which is said beside their paths."""
