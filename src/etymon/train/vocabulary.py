"""New tokens for a foundation's tokenizer: its byte-pair merging, continued on the corpus.

The corpus is cut by the tokenizer itself. Then, as when such a tokenizer is first trained (Sennrich et al., arXiv
1508.07909), the neighbours that stand side by side most often become a token, again and again. Two rules are added. A new
token is whole characters or a part of one, never the end of one and the beginning of the next: such bytes are frequent in
Chinese, but the token means nothing and cannot be shown. And where characters the tokenizer lacks are written as bytes
(LLaMA 2), a character becomes a token before it is joined with others.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from etymon.foundation.vocabulary import NewToken, embedding_parameters
from etymon.train.spelling import Spelling

_LEAST = 2
"""Neighbours that stand side by side fewer times than this are never joined."""

Word = tuple[int, ...]
"""Pieces among which merging happens: token ids; a character that is written as bytes is minus its code point."""
Join = tuple[int, ...]
"""What becomes one token: two neighbours, or a single character that is written as bytes."""


def learn_tokens(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], count: int) -> list[NewToken]:
    """The tokens that shorten ``texts`` most, by greedy choice: ``count`` of them, or fewer where nothing repeats.

    The result depends on the texts, not on their order. Raises EtymonError for tokenizers that are not byte-pair ones.
    """
    spelling = Spelling(tokenizer)
    growth = _Growth(spelling, spelling.words(texts))
    return growth.tokens(count)


class _Growth:
    """The corpus as words, each with its frequency, and how often every join occurs in them."""

    def __init__(self, spelling: Spelling, frequencies: Mapping[Word, int]) -> None:
        self.spelling = spelling
        self.words = [list(word) for word in frequencies]
        self.frequencies = list(frequencies.values())
        self.counts: defaultdict[Join, int] = defaultdict(int)
        self.places: defaultdict[Join, set[int]] = defaultdict(set)
        """Words that hold a join, and some that held it once."""
        for place, word in enumerate(self.words):
            for join in _joins(word):
                self.counts[join] += self.frequencies[place]
                self.places[join].add(place)
        self.queue = [(-self._gain(join), join) for join, count in self.counts.items() if count >= _LEAST]
        heapq.heapify(self.queue)

    def tokens(self, count: int) -> list[NewToken]:
        """Join up to ``count`` times; what each join made."""
        made: list[NewToken] = []
        while len(made) < count and (join := self._best()) is not None:
            token = self.spelling.add(join)
            self._apply(join, token.id)
            made.append(token)
        return made

    def _best(self) -> Join | None:
        """The join that saves most tokens; of equal ones the one with the smallest ids."""
        while self.queue:
            gain, join = heapq.heappop(self.queue)
            if self.counts[join] < _LEAST or not self.spelling.allows(join):
                continue
            if -gain == self._gain(join):
                return join
            heapq.heappush(self.queue, (-self._gain(join), join))  # its count has fallen since it was queued
        return None

    def _apply(self, join: Join, made: int) -> None:
        change: defaultdict[Join, int] = defaultdict(int)
        for place in self.places.pop(join):
            self._rewrite(place, join, made, change)
        for other, difference in change.items():
            if min(other) < 0:  # beside a character that was no token yet: never counted
                continue
            self.counts[other] += difference
            if difference > 0 and self.counts[other] >= _LEAST:
                heapq.heappush(self.queue, (-self._gain(other), other))
        del self.counts[join]

    def _rewrite(self, place: int, join: Join, made: int, change: defaultdict[Join, int]) -> None:
        """Replace every occurrence of a join in a word, from the left; adds to ``change`` what that does to other joins."""
        old, new, frequency, at = self.words[place], list[int](), self.frequencies[place], 0
        while at < len(old):
            if old[at] != join[0] or tuple(old[at : at + len(join)]) != join:
                new.append(old[at])
                at += 1
                continue
            at += len(join)
            if new and new[-1] >= 0:
                change[new[-1], join[0]] -= frequency
                change[new[-1], made] += frequency
                self.places[new[-1], made].add(place)
            if at < len(old) and old[at] >= 0:
                change[join[-1], old[at]] -= frequency
                change[made, old[at]] += frequency
                self.places[made, old[at]].add(place)
            new.append(made)
        self.words[place] = new

    def _gain(self, join: Join) -> int:
        """Tokens that the corpus becomes shorter by."""
        return self.counts[join] * (self.spelling.length(join) - 1)


def _joins(word: list[int]) -> Iterator[Join]:
    for pair in pairwise(word):
        if pair[0] >= 0 and pair[1] >= 0:
            yield pair
    for piece in word:
        if piece < 0:
            yield (piece,)


def train_embeddings_only(network: PreTrainedModel, parameters: Mapping[str, nn.Parameter], on: bool) -> None:
    """Freeze all of ``parameters``, those that are trained, but the embeddings; ``on=False`` undoes it.

    With an adapter, ``network`` is the adapted one and its embeddings are the new tokens' rows.
    """
    embeddings = {id(parameter) for parameter in embedding_parameters(network)}
    for parameter in parameters.values():
        parameter.requires_grad_(not on or id(parameter) in embeddings)


def adapter_rows(network: PreTrainedModel, new: Sequence[NewToken]) -> dict[str, list[int]]:
    """What ``LoraConfig(trainable_token_indices=…)`` needs so that an adapter trains the new tokens' rows, by layer name.

    Measured with PEFT 0.21: merging, saving and reading again keep these rows, tied or not, and the network with the
    adapter off is the one before training. ``modules_to_save`` does not serve: it unties tied embeddings, and with
    ``ensure_weight_tying`` it leaves an untied head out.
    """
    tied = network.config.get_text_config().tie_word_embeddings
    wanted = [network.get_input_embeddings()] + ([] if tied else [network.get_output_embeddings()])
    rows = [token.id for token in new]
    return {name: rows for name, module in network.named_modules() if any(module is layer for layer in wanted)}
