"""Documents and rows out of files of every type. What cannot be read is told with its reason."""
