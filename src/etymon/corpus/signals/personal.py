"""Personal data in text: found by regular expressions, each with a validator, and replaced by placeholders.

Most texts hold none, so each kind has a cheap look first. Digits and separators are looked for in a string of classes (a byte
a character: ``0`` a digit, ``.`` a dot, ``-`` another separator, ``a`` a hexadecimal letter), where a search goes from digit
to digit. What is doubtful is left: a number that is masked in vain is lost to learning. So no names, no addresses, no digits
in other scripts, and national telephone numbers only in the layouts of ``_NATIONAL``.
"""

import ipaddress
import re
from collections.abc import Collection, Iterator
from datetime import date

import phonenumbers

from etymon.corpus.signals.kinds import COUNTS, KINDS, Kind
from etymon.text.normalise import repair
from etymon.text.rows import Row

PLACEHOLDERS: dict[Kind, str] = {
    "email": "<EMAIL>", "phone": "<PHONE>", "ip": "<IP>", "card": "<CARD>", "identity_number": "<IDENTITY_NUMBER>",
}  # fmt: skip

Span = tuple[int, int]
_ORDER: tuple[Kind, ...] = ("email", "ip", "identity_number", "card", "phone")
_CLASSES = bytes(
    ord("0") if chr(code).isdigit() and code < 128
    else code if chr(code) in ".:"
    else ord("-") if chr(code) in " -()/"
    else ord("a") if chr(code) in "abcdefABCDEF"
    else ord("_")
    for code in range(256)
)  # fmt: skip
_RUN = re.compile(rb"0(?:[-.]{0,2}0){6,}")  # seven digits and more: the shortest telephone number
_SEVEN = b"0" * 7
_IP4_SHAPE = re.compile(rb"\.0{1,3}\.0{1,3}\.0")  # a pattern that begins with one byte is searched for ten times faster
_IP6_SHAPE = re.compile(rb":[0a:]{3,}")

_LETTERS = r"A-Za-z\xc0-\xd6\xd8-\xf6\xf8-\u024f\u0370-\u052f"
"""Latin, Greek and Cyrillic. In other scripts words stand beside an address without a space, and are no part of it."""
_SIGN = f"0-9{_LETTERS}"
_LOCAL = "".join(filter(re.compile(rf"[{_SIGN}_.%+'-]").match, map(chr, range(0x530))))
_TOP = rf"(?:[A-Za-z]{{2,24}}(?![A-Za-z0-9@])|[{_LETTERS}]{{2,24}}(?![{_SIGN}@]))"
_DOMAIN = re.compile(rf"(?:[{_SIGN}](?:[{_SIGN}-]{{0,61}}[{_SIGN}])?\.)+{_TOP}")
_LONGEST_LOCAL = 64
_RESERVED = ("example", "test", "invalid", "localhost", "local")  # RFC 2606 and RFC 6762: nobody's
_RESERVED_SECOND = ("example.com", "example.net", "example.org")

_BEFORE, _AFTER = r"(?<![\w.+/$€£-])", r"(?![\w+]|[./-]\d)"  # no part of a longer number, a price, a path
_BEFORE_GROUPS, _AFTER_GROUPS = rf"{_BEFORE}(?<!\d )", rf"{_AFTER}(?! \d)"  # nor of a longer row of groups
_IP4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|[.-]\w)", re.ASCII)
_IP6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]{2,34}[0-9A-Fa-f](?![\w:])", re.ASCII)
_UNICAST = ipaddress.IPv6Network("2000::/3")
_CARD = re.compile(
    rf"{_BEFORE}\d{{13,19}}{_AFTER}"
    rf"|{_BEFORE_GROUPS}(?:\d{{4}}([ -])\d{{4}}\1\d{{4}}\1\d{{1,7}}(?! \d{{4}})"
    rf"|\d{{4}}([ -])\d{{6}}\2\d{{4,5}}(?! \d{{5}})){_AFTER}",
    re.ASCII,
)
"""Its expiry or check value may follow: a shorter group."""
_ISSUERS = re.compile(r"4|5[1-5]|2(?:2[2-9]|[3-6]|7[01]|720)|3[47]|3(?:0[0-5]|[689])|35|6(?:011|4[4-9]|5|2)")
_IDENTITY = re.compile(r"(?<!\w)[1-8]\d{5}(?:19|20)\d{9}[\dXx](?!\w)", re.ASCII)  # GB 11643-1999
_PROVINCES = frozenset(
    (*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, *range(81, 84))
)
_INTERNATIONAL = re.compile(rf"(?<![\w+])\+[1-9](?:[ .()/-]{{0,2}}\d){{6,14}}{_AFTER}", re.ASCII)
_DOUBLE_ZERO = re.compile(
    rf"{_BEFORE_GROUPS}00(?=\d{{1,6}}[ ./()-]{{1,2}}\d)[1-9](?:[ .()/-]{{0,2}}\d){{6,14}}{_AFTER}", re.ASCII
)
"""For ``+``; without any separator it is a number with zeros before it."""
_NATIONAL = tuple(
    (re.compile(layout, re.ASCII), regions)
    for layout, regions in (
        (rf"{_BEFORE}(?:1[ .-])?(?:\([2-9]\d\d\) ?\d{{3}}[ .-]\d{{4}}|[2-9]\d\d([.-])\d{{3}}\1\d{{4}}){_AFTER}", ("US",)),
        (rf"{_BEFORE_GROUPS}(?:1 )?[2-9]\d\d \d{{3}} \d{{4}}{_AFTER_GROUPS}", ("US",)),
        (rf"{_BEFORE}(?:1[3-9]\d([ -]?)\d{{4}}\1\d{{4}}|\(0\d{{2,3}}\) ?\d{{7,8}}|0\d{{2,3}}-\d{{7,8}}){_AFTER}", ("CN",)),
        (rf"{_BEFORE_GROUPS}0[1-9]([ .-])\d\d(?:\1\d\d){{3}}{_AFTER_GROUPS}", ("FR",)),
        (
            rf"{_BEFORE_GROUPS}(?:0[1-9]\d{{0,4}}([ -])\d{{3,4}}(?:\1\d{{3,4}}|\d{{0,3}})"
            rf"|\(0[1-9]\d{{0,4}}\) ?\d{{3,4}}(?:[ -]\d{{3,4}}|\d{{0,4}})){_AFTER_GROUPS}",
            ("GB", "JP", "AU", "NL", "IN"),
        ),
        (
            rf"{_BEFORE_GROUPS}(?:\(0[1-9]\d{{1,4}}\) ?|0[1-9]\d{{1,4}}[/-] ?)\d{{3,8}}(?:[ -]\d{{2,4}}){{0,2}}"
            rf"{_AFTER_GROUPS}",
            ("DE", "AT", "CH", "IT"),
        ),
        (
            rf"{_BEFORE_GROUPS}(?=(?:\d ?){{9}})0[1-9]\d{{1,3}} [1-9]\d{{2,7}}(?: \d{{2,4}}){{0,2}}{_AFTER_GROUPS}",
            ("DE", "AT", "CH", "IT"),
        ),
        (rf"{_BEFORE}0[67]\d{{8}}{_AFTER}", ("FR",)),
        (rf"{_BEFORE}07\d{{9}}{_AFTER}", ("GB",)),
        (rf"{_BEFORE}01[567]\d{{8,9}}{_AFTER}", ("DE",)),
    )
)
"""Layouts of national telephone numbers, and the countries of whose plans a number has to be; ``US`` stands for all that
share its plan. Without any separator only mobile numbers are told from other numbers that begin with a zero."""


def find_personal(text: str) -> list[tuple[Kind, int, int]]:
    """What was found, by kind and place (begin, end), in the order of the text; no two overlap."""
    found: list[tuple[Kind, int, int]] = []
    if "@" in text:
        found += [("email", *span) for span in _emails(text)]
    classes = text.encode("ascii", "replace").translate(_CLASSES)
    found += [("ip", *span) for span in _ips(text, classes)]
    for run in _RUN.finditer(classes) if _SEVEN in classes.translate(None, b"-.") else ():
        window = (max(0, run.start() - 2), min(len(text), run.end() + 3))
        found += [("identity_number", *span) for span in _identity_numbers(text, window)]
        found += [("card", *span) for span in _cards(text, window)]
        found += [("phone", *span) for span in _phones(text, window)]
    return _apart(found) if len(found) > 1 else found


def mask(text: str, kinds: Collection[Kind]) -> tuple[str, dict[Kind, int]]:
    """The text with placeholders for these kinds of personal data, and how much was found of every kind."""
    found = find_personal(text)
    counts = dict.fromkeys(KINDS, 0)
    pieces, end = [], 0
    for kind, begin, stop in found:
        counts[kind] += 1
        if kind in kinds:
            pieces += [text[end:begin], PLACEHOLDERS[kind]]
            end = stop
    return ("".join([*pieces, text[end:]]) if pieces else text), counts


def mask_row(row: Row, kinds: Collection[Kind]) -> tuple[Row, dict[Kind, int]]:
    """The same for all that is said in a conversation or preference."""
    counts = dict.fromkeys(KINDS, 0)

    def masked(text: str) -> str:
        new, found = mask(text, kinds)
        for kind, count in found.items():
            counts[kind] += count
        return new

    return row.changed(masked), counts


def mask_document(text: str, row: str | None, kinds: Collection[Kind]) -> tuple[str, str | None, dict[str, int]]:
    """A repaired text and the JSON of its row (None for a document) with placeholders, and the counts by their signals.

    A row in which something is masked is repaired as its text was, where a sign of no width may have hidden it.
    """
    masked, counts = mask(text, kinds)
    if row is not None and masked is not text:
        row = mask_row(Row.from_json(row).changed(repair), kinds)[0].to_json()
    return masked, row, {COUNTS[kind]: count for kind, count in counts.items()}


def _apart(found: list[tuple[Kind, int, int]]) -> list[tuple[Kind, int, int]]:
    """In order; of two that overlap the kind that comes first in ``_ORDER``."""
    kept: list[tuple[Kind, int, int]] = []
    for each in sorted(found, key=lambda each: each[1:]):
        if not kept or each[1] >= kept[-1][2]:
            kept.append(each)
        elif _ORDER.index(each[0]) < _ORDER.index(kept[-1][0]):
            kept[-1] = each
    return kept


def _emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        before = text[max(0, at - _LONGEST_LOCAL) : at]
        local = before[len(before.rstrip(_LOCAL)) :].lstrip(".'")
        domain = _DOMAIN.match(text, at + 1) if local and local[-1] != "." else None
        if domain and not _is_reserved(domain.group().lower()):
            yield at - len(local), domain.end()
        at = text.find("@", at + 1)


def _is_reserved(domain: str) -> bool:
    return ".".join(domain.split(".")[-2:]) in _RESERVED_SECOND or domain.rpartition(".")[2] in _RESERVED


def _ips(text: str, classes: bytes) -> Iterator[Span]:
    for shape in _IP4_SHAPE.finditer(classes):
        if (match := _IP4.match(text, _back(classes, shape.start(), b"0"))) and _is_public_ip4(match.group()):
            yield match.span()
    for shape in _IP6_SHAPE.finditer(classes):
        if (match := _IP6.match(text, _back(classes, shape.start(), b"0a"))) and _is_public_ip6(match.group()):
            yield match.span()


def _back(classes: bytes, place: int, kinds: bytes) -> int:
    """Where the run of such characters begins that ends before a place; a group of an address has four at most."""
    before = classes[max(0, place - 4) : place]
    return place - len(before) + len(before.rstrip(kinds))


def _is_public_ip4(written: str) -> bool:
    """Addresses that belong to someone. Four single digits are the number of a section or version more often than not."""
    if len(written) == 7:
        return False
    try:
        address = ipaddress.IPv4Address(written)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


def _is_public_ip6(written: str) -> bool:
    try:
        address = ipaddress.IPv6Address(written)
    except ValueError:
        return False
    return address.is_global and address in _UNICAST


def _cards(text: str, window: Span) -> Iterator[Span]:
    for match in _CARD.finditer(text, *window):
        digits = _digits(match.group())
        if 13 <= len(digits) <= 19 and _ISSUERS.match(digits) and _passes_luhn(digits):
            yield match.span()


def _passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0 and len(set(digits)) > 1


def _identity_numbers(text: str, window: Span) -> Iterator[Span]:
    for match in _IDENTITY.finditer(text, *window):
        if _is_identity_number(match.group()):
            yield match.span()


def _is_identity_number(number: str) -> bool:
    """A Chinese resident's number: province, date of birth and checksum (GB 11643-1999, ISO 7064 MOD 11-2)."""
    if int(number[:2]) not in _PROVINCES:
        return False
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(number[:17]))
    return "10X98765432"[total % 11] == number[17].upper()


def _phones(text: str, window: Span) -> Iterator[Span]:
    for match in _INTERNATIONAL.finditer(text, *window):
        if _is_phone(match.group(), None):
            yield match.span()
    for match in _DOUBLE_ZERO.finditer(text, *window):
        if _is_phone(f"+{match.group()[2:]}", None):
            yield match.span()
    for layout, regions in _NATIONAL:
        for match in layout.finditer(text, *window):
            if any(_is_phone(match.group(), region) for region in regions) and not _is_isbn(match.group()):
                yield match.span()


def _is_phone(number: str, region: str | None) -> bool:
    """Whether the numbering plan of the region, or of the country that the number names, has such numbers."""
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(number, region)))
    except phonenumbers.NumberParseException:
        return False


def _is_isbn(number: str) -> bool:
    """Whether ten digits are the number of a book, by its checksum (ISO 2108:1992)."""
    return len(number) == 10 and number.isdigit() and sum(map(int.__mul__, range(10, 0, -1), map(int, number))) % 11 == 0


def _digits(written: str) -> str:
    return "".join(filter(str.isdigit, written))
