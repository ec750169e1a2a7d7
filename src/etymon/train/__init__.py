"""Training: one loop over packed rows, whatever the objective."""
