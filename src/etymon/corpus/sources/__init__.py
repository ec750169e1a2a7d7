"""Which files a source names, from where, and what is declared of them."""
