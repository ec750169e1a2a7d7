"""A review as a page and on the terminal."""
