"""The forms in which documents are compared, and the digests by which they are known."""

from dataclasses import replace
from hashlib import sha256

from etymon.text.normalise import repair
from etymon.text.rows import Row


def compared_text(text: str, row: str | None) -> str:
    """What of a document is compared: its text; of a row (JSON) what is said besides the system message.

    One that all rows share does not make them near duplicates.
    """
    if row is None:
        return text
    read = Row.from_json(row)
    if not isinstance(read.prompt, str):
        read = replace(read, prompt=tuple(each for each in read.prompt if each.role != "system"))
    return repair(read.text)


def content_digest(folded_text: str, row: str | None) -> str:
    """By which exact copies are known, 32 hex digits: of a text in its folded form, of a row its JSON.

    Two rows may read alike and differ in who says what, or in how they are judged: only the whole row tells.
    """
    return sha256((folded_text if row is None else row).encode()).hexdigest()[:32]


def document_id(text: str) -> str:
    """A document's name: 20 hex digits of the SHA-256 of its repaired text, or of a row's JSON. The same text has one name
    everywhere."""
    return sha256(text.encode()).hexdigest()[:20]
