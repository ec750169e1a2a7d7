"""A model run over the rows of a table: its answers, which keep to a JSON schema, become columns."""
