"""Filings: what a regulator asks, clause by clause, set beside what the run and the organisation can show."""
