"""The chat page: a few files that this service sends, and that speak with nobody else."""
