"""A recipe proposed for a folder of documents."""
