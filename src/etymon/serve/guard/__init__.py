"""What may be asked and said: rules over text as people read it, whatever it was disguised as."""
