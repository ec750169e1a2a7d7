"""Who asked which model, how much, and what was decided: a record of every request, kept for as long as the policy says."""
