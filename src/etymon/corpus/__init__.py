"""New data: sources → documents → signals → decisions → a corpus with a held-out part that nothing in training resembles."""
