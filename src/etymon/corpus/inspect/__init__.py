"""What happened to every document, shown."""
