"""How a byte-pair tokenizer spells: the words it cuts texts into, what its tokens stand for, what may be joined.

Two kinds are known. Byte-level tokenizers (GPT-2, LLaMA 3, Qwen, SmolLM) have a token for every byte. SentencePiece ones
(LLaMA 2, Gemma) are made of characters, ``▁`` for the space, and write characters they lack as bytes such as ``<0xE7>``.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from tokenizers import Encoding, Tokenizer
from transformers import PreTrainedTokenizerBase

from etymon.foundation.vocabulary import NewToken, tokenizer_content

_BATCH = 256
_LONGEST = 256
"""Pieces of a word; a longer run without a cut, such as encoded data, is counted in parts."""
_SPACE = "▁"


class Spelling:
    """A tokenizer's pieces, and those that are added to them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        content = tokenizer_content(tokenizer)
        self._tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True  # a control token in a text is fed as the characters it is
        self._ids = self._tokenizer.get_vocab(with_added_tokens=True)
        self._texts = {id: text for text, id in self._ids.items()}
        self._pieces: dict[int, tuple[int, ...]] = {}
        self._next = 1 + max(self._ids.values())
        self._letters = _byte_letters() if _has_step(content, "ByteLevel") else None
        self._bytes = {} if self._letters else _byte_tokens(self._ids)
        self._byte_ids = {byte: id for id, byte in self._bytes.items()}
        unknown = self._ids.get(content["model"].get("unk_token") or "")
        self._apart = {added["id"] for added in content["added_tokens"]} | ({unknown} if unknown is not None else set())

    def words(self, texts: Iterable[str]) -> Counter[tuple[int, ...]]:
        """The words of the texts with their frequencies: token ids; minus the code point for a character written as bytes."""
        words: Counter[tuple[int, ...]] = Counter()
        rest = iter(texts)
        while batch := list(islice(rest, _BATCH)):
            for encoding in self._tokenizer.encode_batch(batch, add_special_tokens=False):
                for word in self._cut(encoding):
                    for begin in range(0, len(word), _LONGEST):
                        words[tuple(word[begin : begin + _LONGEST])] += 1
        return words

    def length(self, join: tuple[int, ...]) -> int:
        """Tokens that a join puts together."""
        return 2 if len(join) == 2 else len(chr(-join[0]).encode())

    def allows(self, join: tuple[int, ...]) -> bool:
        """Whether a join may become a token: its text is none yet, and it does not end within a character."""
        text = self._text(join)
        if text in self._ids:
            return False
        return self._letters is None or _within_or_whole(bytes(self._letters[letter] for letter in text))

    def add(self, join: tuple[int, ...]) -> NewToken:
        """Make a join a token; its id is the next one."""
        text = self._text(join)
        pair = (self._texts[join[0]], self._texts[join[1]]) if len(join) == 2 else None
        token = NewToken(self._next, text, pair, tuple(piece for part in join for piece in self._old_pieces(part)))
        self._ids[text], self._texts[token.id], self._pieces[token.id] = token.id, text, token.pieces
        self._next += 1
        return token

    def _text(self, join: tuple[int, ...]) -> str:
        return "".join(chr(-part) if part < 0 else self._texts[part] for part in join)

    def _old_pieces(self, part: int) -> tuple[int, ...]:
        if part < 0:
            return tuple(self._byte_ids[byte] for byte in chr(-part).encode())
        return self._pieces.get(part, (part,))

    def _cut(self, encoding: Encoding) -> Iterator[list[int]]:
        """The words of a text. Added tokens, unknown characters and single bytes belong to none."""
        word: list[int] = []
        last: int | None = None
        for piece, place in self._characters(encoding):
            apart = piece is None or piece in self._apart
            if word and (apart or place != last or (self._letters is None and self._begins(word[-1], piece or 0))):
                yield word
                word = []
            if piece is not None and not apart:
                word.append(piece)
            last = place
        if word:
            yield word

    def _characters(self, encoding: Encoding) -> Iterator[tuple[int | None, int | None]]:
        """Token ids and the places of their words, with runs of bytes put together to characters."""
        run = bytearray()
        place: int | None = None
        for id, own_place in zip(encoding.ids, encoding.word_ids, strict=True):
            byte = self._bytes.get(id)
            if run and (byte is None or own_place != place):
                yield from ((-ord(char) if ord(char) > 127 else None, place) for char in run.decode("utf-8", "ignore"))
                run.clear()
            place = own_place
            if byte is None:
                yield id, place
            else:
                run.append(byte)
        yield from ((-ord(char) if ord(char) > 127 else None, place) for char in run.decode("utf-8", "ignore"))

    def _begins(self, before: int, piece: int) -> bool:
        """Whether a word begins here, for tokenizers that do not cut texts themselves: as SentencePiece trains them, at a
        space, between letters and other characters, and around digits."""
        left, right = self._text((before,)), self._text((piece,))
        if right.startswith(_SPACE):
            return bool(left.strip(_SPACE))
        kind = _kind(right[0])
        return kind == "digit" or (bool(left.strip(_SPACE)) and kind != _kind(left[-1]))


def _kind(char: str) -> str:
    if char.isnumeric() and not char.isalpha():
        return "digit"
    return "letter" if char.isalpha() or unicodedata.category(char).startswith("M") else "other"


def _within_or_whole(data: bytes) -> bool:
    """Whether bytes are whole characters, or part of a single one."""
    try:
        data.decode()
        return True
    except UnicodeDecodeError:
        return data[0] >= 0x80 and all(0x80 <= byte < 0xC0 for byte in data[1:]) and len(data) < 4


def _byte_letters() -> dict[str, int]:
    """The byte each letter of a byte-level tokenizer stands for (GPT-2): printable ones themselves, the rest from 256 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + row): byte for row, byte in enumerate(rest)}


def _byte_tokens(ids: dict[str, int]) -> dict[int, int]:
    """The bytes that tokens such as ``<0xE7>`` stand for, by token id."""
    names = ((f"<0x{byte:02X}>", byte) for byte in range(256))
    return {ids[name]: byte for name, byte in names if name in ids}


def _has_step(content: dict[str, object], kind: str) -> bool:
    """Whether a step of this kind is among what cuts or decodes the text."""

    def holds(step: object) -> bool:
        if isinstance(step, list):
            return any(holds(part) for part in step)
        return isinstance(step, dict) and (step.get("type") == kind or any(holds(part) for part in step.values()))

    return any(holds(content[role]) for role in ("normalizer", "pre_tokenizer", "decoder"))
