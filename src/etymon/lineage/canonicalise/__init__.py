"""One form out of the many in which the same function can be stored: gains folded, scale freedoms fixed."""
