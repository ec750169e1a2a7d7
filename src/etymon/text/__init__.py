"""Text kernels shared by corpus and evaluate: repair, words in any script, n-grams, sections, MinHash bands."""
