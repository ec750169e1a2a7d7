"""Etymon grows your own language model from an open one, and proves what came from where."""
