"""Fingerprints of models: a small part to search among thousands, a larger one to test without the weights."""
