"""The most frequent words of languages: a text in which hardly one of them occurs is a list, a table or a menu, not prose.

Rae et al. 2021 (arXiv 2112.11446, section A1) ask for two of eight English ones.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from etymon.corpus.signals.repetition import Words
from etymon.text.flat import Hashes, Ints, SpanHashes, blocks, word_spans

STOP_WORDS = {
    language: tuple(words.split())
    for language, words in {
        "ar": "في من على إلى أن عن مع هذا التي الذي ما لا كان هو هي أو بين كل بعد",
        "cs": "a se v na je to že s z do i o k ve pro za by ale jako",
        "da": "og i at det er en til af på for den med der ikke som de et har",
        "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als",
        "en": "the be to of and that have with",
        "es": "de la que el en y a los se del las un por con no una su para es",
        "fa": "و در به از که این را با است برای آن یک تا بر",
        "fi": "ja on ei se että oli hän mutta ovat joka kun myös tai niin mukaan",
        "fr": "de la le et les des en un du une que est pour qui dans par au plus pas sur",
        "hi": "के का में की है से और को पर यह ने भी एक हैं नहीं कि",
        "id": "yang dan di dengan ini untuk dari dalam pada ke tidak itu adalah",
        "it": "di e il la che in a per un del è non una i le con da si al",
        "ja": "の に を は た て が と で し れ さ い る も な",
        "nl": "de van en het een in is dat op te voor zijn met die niet aan er om",
        "no": "og i det er en til av på for den med som ikke at de et har",
        "pl": "w i na z się do nie to że jest o a jak po od co za przez",
        "pt": "de a o que e do da em um para com não uma os no se na por mais as",
        "ru": "и в не на что с он по как это а к из но за от у о его для",
        "sv": "och i att det som en på är av för med till den inte har de ett om",
        "tr": "ve bir bu da de için ile çok olarak daha gibi olan ne ama",
        "uk": "і в на не що з та до у як це за від по а для його й",
        "vi": "và của là có trong các được cho với không những một để này đã",
        "zh": "的 一 是 不 了 在 有 人 我 他 这 這 个 個 们 們 中 也 和 就 为 為 以 而 其 之",
    }.items()
}
"""By the code that language detection gives. Those of Chinese and Japanese are characters, as words there are."""


@cache
def _vocabulary() -> dict[str, int]:
    return {word: at for at, word in enumerate(sorted({word for words in STOP_WORDS.values() for word in words}))}


@cache
def _members() -> tuple[dict[str, int], NDArray[np.bool_]]:
    """The row of each language, and [language, word] whether a word is a stop word there; the last row is for all others."""
    table = np.zeros((len(STOP_WORDS) + 1, len(_vocabulary())), np.bool_)
    for row, words in enumerate(STOP_WORDS.values()):
        table[row, [_vocabulary()[word] for word in words]] = True
    return {language: row for row, language in enumerate(STOP_WORDS)}, table


@cache
def _slots() -> tuple[int, NDArray[np.int32], Hashes, Ints]:
    """Where a word may be looked up by the highest bits of its hash: the shift, by slot which form it could be, and the hash
    and number of each form. In lower case, capitalised, or in capitals, it is the same word."""
    number = {form: at for word, at in _vocabulary().items() for form in (word, word.capitalize(), word.upper())}
    (block,) = blocks([" ".join(number)])
    spans = word_spans(block)
    hash_F = SpanHashes(block)(spans.begins_W, spans.ends_W)
    bits = next(bits for bits in range(16, 25) if len(np.unique(hash_F >> np.uint64(64 - bits))) == len(hash_F))
    slots = np.full(1 << bits, -1, np.int32)
    slots[hash_F >> np.uint64(64 - bits)] = np.arange(len(hash_F))
    return 64 - bits, slots, hash_F, np.array(list(number.values()), np.int64)


def distinct_stop_words(words: Words, languages: Sequence[str]) -> Ints:
    """How many different stop words of its language each text has; 0 where the language has no list."""
    shift, slots, hash_F, number_F = _slots()
    rows, members = _members()
    form_W = slots[words.hash_W >> np.uint64(shift)]
    at = np.flatnonzero(form_W >= 0)
    at = at[hash_F[form_W[at]] == words.hash_W[at]]
    present_TS = np.zeros((len(languages), members.shape[1]), np.bool_)
    present_TS[words.text_W[at], number_F[form_W[at]]] = True
    row_T = np.array([rows.get(language, len(rows)) for language in languages], np.int64)
    return np.asarray((present_TS & members[row_T]).sum(axis=1), np.int64)
