"""A zoo for lineage: models that derive from each other in known ways, and models that do not."""
