"""What is measured about a text, once: pure functions of the text."""
