"""Listed models against each other, and fingerprints: how boards, reviews and searches for parents find relatives."""
