"""What a model's tensors are: structure from shapes, roles from content, tokens of the embeddings' rows."""
