"""How a corpus is shown: on the terminal and as a page."""
