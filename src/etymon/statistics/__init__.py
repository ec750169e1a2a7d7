"""Intervals, paired tests, multiplicity and ranks: pure functions of arrays, shared by evaluate, board and lineage."""
