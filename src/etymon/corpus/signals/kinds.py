"""What is counted in a document besides what is measured of its text: personal data by kind, and refused terms."""

from typing import Literal

Kind = Literal["email", "phone", "ip", "card", "identity_number"]
KINDS: tuple[Kind, ...] = ("email", "phone", "ip", "card", "identity_number")
COUNTS: dict[Kind, str] = {
    "email": "emails", "phone": "phones", "ip": "ips", "card": "cards", "identity_number": "identity_numbers",
}  # fmt: skip
"""The signal that counts what was found of each kind of personal data."""
REFUSED_TERMS = "refused_terms"
"""The signal that counts refused terms."""
