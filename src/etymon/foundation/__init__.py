"""Open a model from anywhere, safely: its files, facts, digests, tokenizer and licence."""
