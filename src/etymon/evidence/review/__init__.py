"""The review of a model that was made elsewhere: what its publisher says, set beside what its files and weights show."""
