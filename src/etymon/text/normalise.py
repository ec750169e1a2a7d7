"""Unicode repair, and the form in which two texts are compared.

Repair changes how a text is encoded, never what it says: quotes stay curly and full-width letters stay full-width, for a
corpus is to be learnt as it was written.
"""

import re
import unicodedata

import ftfy
from ftfy.badness import MOJIBAKE_CATEGORIES
from ftfy.chardata import CONTROL_CHARS, LIGATURES

from etymon.text.words import words

_REPAIRS = ftfy.TextFixerConfig(
    unescape_html=False,  # documentation about HTML speaks of &amp;
    uncurl_quotes=False,
    fix_character_width=False,
    normalization="NFC",
    explain=False,
)
_PLAIN_ASCII = bytes([ord("\t"), ord("\n"), *range(32, 127)])

# Ftfy tries some sixty patterns at every character. A line that it may change has one of these, or is not in NFC:
# a character that it always changes: controls, line separators, surrogates, ligatures;
_CHANGED = "\\x80-\\x9f\\u2028\\u2029\\ud800-\\udfff" + "".join(
    f"\\U{code:08x}" for code in sorted({*CONTROL_CHARS, *LIGATURES, ord("\r")})
)
# a character that begins common mojibake even between ASCII ones, or œ that is not inside a word;
_ALONE = "ÃÂ"
# two neighbours of those that occur in mojibake, and not both of them letters of a living language.
_MOJIBAKE = "".join(MOJIBAKE_CATEGORIES.values())
_RARE = "".join(
    members for name, members in MOJIBAKE_CATEGORIES.items()
    if name not in ("common", "lower_accented", "lower_common", "upper_common", "kaomoji")
) + "œÙ°Ђ"  # fmt: skip
_SUSPICIOUS = re.compile(
    f"[{_CHANGED}{_ALONE}{_RARE}](?:(?<=[{_CHANGED}{_ALONE}])|(?<=[Œœ])(?![A-Za-z])|(?=[{_MOJIBAKE}])|(?<=[{_MOJIBAKE}].))"
)

_APOSTROPHES = "’‘ʼ"
_UNSEEN = "\u00ad\u200b\u200e\u200f\u2060\ufeff"
"""Not the joiners U+200C and U+200D, which belong to words of Persian and Indic scripts."""


def repair(text: str) -> str:
    """Text with broken encodings mended (mojibake, lone surrogates, ligatures, control characters), in NFC.

    Line ends and form feeds become ``\\n``; white space at the ends of lines and of the text goes, and more than two empty
    lines in a row become two.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    if _may_change(text):
        # ftfy, too, looks at one line at a time, its newline included
        *lines, last = text.split("\n")
        segments = [f"{line}\n" for line in lines] + [last]
        text = "".join(ftfy.fix_text(segment, _REPAIRS) if _may_change(segment) else segment for segment in segments)
    kept: list[str] = []
    for line in text.split("\n"):
        line = line.rstrip()
        if line or kept[-2:] != ["", ""]:
            kept.append(line)
    return "\n".join(kept).strip("\n")


def _may_change(text: str) -> bool:
    """Whether ftfy could change a text; 50 times as fast as to see whether it does."""
    if text.isascii():
        return bool(text.encode().translate(None, _PLAIN_ASCII))
    return _SUSPICIOUS.search(text) is not None or not unicodedata.is_normalized("NFC", text)


def folded(text: str) -> str:
    """Text under compatibility normalisation and case folding, white space collapsed to single spaces.

    Apostrophes are straight, and what is not seen (soft hyphens, zero-width spaces, marks of direction) is gone: a copy that
    went through a typesetter or a web page has the words of its original.
    """
    if text.isascii():
        return " ".join(text.casefold().split())
    once = _plain(unicodedata.normalize("NFKC", _plain(text)).casefold())
    return " ".join(unicodedata.normalize("NFKC", once).split())


def _plain(text: str) -> str:
    for apostrophe in _APOSTROPHES:
        text = text.replace(apostrophe, "'")
    for unseen in _UNSEEN:
        text = text.replace(unseen, "")
    return text


def comparable(text: str) -> str:
    """The folded words of a text with one space between them, each character of an unspaced script a word.

    This is the form in which near duplicates are looked for: punctuation, case, layout and widths do not count.
    """
    return " ".join(words(folded(text)))
