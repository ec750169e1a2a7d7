"""What lies downstream of a base, a source or a document, by what was declared and by what was measured."""
