"""The board as static pages: an index, one page a model, and the board in pictures. They need no network."""
