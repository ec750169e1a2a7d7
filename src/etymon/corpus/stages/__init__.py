"""The stages: sources, documents, signals, corpus."""
