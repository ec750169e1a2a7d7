"""Pages and pictures that every part shares: one style, one frame, plots as plain values. They need no network."""
