"""Exact and near duplicates, and what is said in evaluation items."""
