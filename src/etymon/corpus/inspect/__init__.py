"""Looking at a corpus that is built: what became of every document, what is there, what another policy would change."""
