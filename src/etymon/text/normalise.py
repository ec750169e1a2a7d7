"""Unicode repair, and the form in which two texts are compared.

Repair changes how a text is encoded, never what it says: quotes stay curly and full-width letters stay full-width, for a
corpus is to be learnt as it was written.
"""

import unicodedata

import ftfy

from etymon.text.words import words

_REPAIRS = ftfy.TextFixerConfig(
    unescape_html=False,  # documentation about HTML speaks of &amp;
    uncurl_quotes=False,
    fix_character_width=False,
    normalization="NFC",
    explain=False,
)
_PLAIN_ASCII = frozenset("\t\n" + "".join(map(chr, range(32, 127))))


def repair(text: str) -> str:
    """Text with broken encodings mended (mojibake, lone surrogates, ligatures, control characters), in NFC.

    Line ends and form feeds become ``\\n``; white space at the ends of lines and of the text goes, and more than two empty
    lines in a row become two.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    if not (text.isascii() and _PLAIN_ASCII.issuperset(text)):  # plain ASCII needs no repair: 20 times faster
        text = ftfy.fix_text(text, _REPAIRS)
    kept: list[str] = []
    for line in text.split("\n"):
        line = line.rstrip()
        if line or kept[-2:] != ["", ""]:
            kept.append(line)
    return "\n".join(kept).strip("\n")


def folded(text: str) -> str:
    """Text under compatibility normalisation and case folding, white space collapsed to single spaces."""
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(once.split())


def comparable(text: str) -> str:
    """The folded words of a text with one space between them, each character of an unspaced script a word.

    This is the form in which near duplicates are looked for: punctuation, case, layout and widths do not count.
    """
    return " ".join(words(folded(text)))
