"""How lineage is shown: on the terminal, and as one page with pictures that needs no network."""
