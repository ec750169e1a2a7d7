"""GGUF files: what is in one, and the plain Transformers folder it stands for."""
