"""What a derivative is made of, in formats that others can read: provenance, licence obligations, card, verification."""
