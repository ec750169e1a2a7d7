"""Listed models against each other, and fingerprints: how boards, reviews and the search for unknown parents find relatives."""
