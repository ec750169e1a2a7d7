"""Standings: models ranked by their items, with what each inherited from its base, on the terminal and as a page."""
