"""The service: who may ask, what may be asked, how much, and the way to the engine and back."""
