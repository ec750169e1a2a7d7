"""Documents made of what lies on any machine, with duplicates and faults planted whose truth is known."""
