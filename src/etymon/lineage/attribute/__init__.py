"""What changed between two related models, how it was done, and which came first where that shows."""
