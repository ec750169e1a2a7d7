"""What a corpus may hold: rules over sources, and threshold tables over signals."""
