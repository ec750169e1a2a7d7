"""The test: how much agrees that independent training would not bring into agreement, and what chance gives."""
