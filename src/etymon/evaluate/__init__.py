"""Scores of models: a scorer that computes every shared prefix once, tasks, and per-item records."""
