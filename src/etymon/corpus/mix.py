"""How often each document is learned in one pass, so that sources have the shares that were asked for.

Shapes: S sources, N documents of training.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from etymon.errors import EtymonError
from etymon.recipe import Mix
from etymon.store import Config

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_SIZES = ("tokens", "weights", "epochs", "most_epochs", "most_tokens")
"""Keys of a mixture that make it smaller."""


class Share(Config):
    """What one source gives to a pass over the corpus."""

    source: str
    documents: int
    """That are there to learn from."""
    tokens: int
    """Of these, each once."""
    asked: int
    """Tokens in one pass that the mixture asks for; whole documents are drawn, to the nearest."""
    mixed: int
    """Tokens in one pass."""
    epochs: float
    """``mixed / tokens``."""
    share: float
    """Of all tokens of the pass."""


def mix_sources(
    names: Sequence[str], source_N: Ints, tokens_N: Ints, weight_N: Ints, draw_N: NDArray[np.uint64], asked: Mix
) -> tuple[Ints, list[Share]]:
    """Copies [N] of every document, 0 for one that the mixture leaves out, and what each source gives.

    ``weight_N`` counts a document that often before anything else (1, or more for the survivor of many near duplicates).
    ``draw_N`` (``draw.seeded_draw``) is the order in which a source's documents are taken where not all are.

    Raises EtymonError for a source that is not there, where ``epochs`` ask for more than ``tokens``, and where nothing is
    left to learn.
    """
    _refuse_unknown(names, asked)
    held_S = np.bincount(source_N, tokens_N * weight_N, minlength=len(names)).astype(np.float64)
    wanted_S, capped_S = _wanted(names, held_S, asked)
    copies_N = np.zeros(len(source_N), np.int64)
    for source in range(len(names)):
        own = np.flatnonzero(source_N == source)
        own = own[np.argsort(draw_N[own], kind="stable")]
        copies_N[own] = _copies(tokens_N[own], weight_N[own], float(wanted_S[source]), bool(capped_S[source]))
    if not copies_N.any():
        raise _nothing_mixed(int(held_S.sum()), wanted_S, asked)
    mixed_S = np.bincount(source_N, copies_N * tokens_N, minlength=len(names))
    tokens_S = np.bincount(source_N, tokens_N, minlength=len(names))
    documents_S = np.bincount(source_N, minlength=len(names))
    return copies_N, [
        Share(
            source=name,
            documents=int(documents_S[at]),
            tokens=int(tokens_S[at]),
            asked=round(wanted_S[at]),
            mixed=int(mixed_S[at]),
            epochs=float(mixed_S[at] / max(1, tokens_S[at])),
            share=float(mixed_S[at] / max(1, mixed_S.sum())),
        )
        for at, name in enumerate(names)
    ]


def _wanted(names: Sequence[str], held_S: Floats, asked: Mix) -> tuple[Floats, NDArray[np.bool_]]:
    """[S] tokens of each source in one pass, and whether these are the most that it may give."""
    most_S = np.array([asked.most_tokens.get(name, np.inf) for name in names])
    fixed_S = np.array([name in asked.epochs for name in names])
    wanted_S = np.array([asked.epochs.get(name, 0.0) for name in names]) * held_S
    wanted_S = np.minimum(wanted_S, most_S)
    most_S = np.where(fixed_S, most_S, np.minimum(most_S, asked.most_epochs * held_S))
    natural_S = held_S ** (1 / asked.temperature)
    pull_S = np.array([asked.weights.get(name, 0.0) for name in names]) if asked.weights else natural_S
    free_S = ~fixed_S & (pull_S > 0)
    fixed = float(wanted_S.sum())
    left = float(held_S[~fixed_S].sum()) if asked.tokens is None else asked.tokens - fixed
    if asked.tokens is not None and (left < 0 or (left == 0 and free_S.any())):
        raise _nothing_left(fixed, asked)
    while free_S.any():
        given_S = np.where(free_S, pull_S / pull_S[free_S].sum() * left, 0)
        full_S = free_S & (given_S >= most_S)
        if not full_S.any():
            wanted_S = np.where(free_S, given_S, wanted_S)
            break
        wanted_S = np.where(full_S, most_S, wanted_S)  # what a source cannot give, the others give in proportion
        left -= float(most_S[full_S].sum())
        free_S &= ~full_S
    return wanted_S, wanted_S >= most_S


def _copies(tokens_N: Ints, weight_N: Ints, wanted: float, capped: bool) -> Ints:
    """Copies of a source's documents, in the order in which they are drawn: to the nearest document, or none beyond a cap."""
    held = float((tokens_N * weight_N).sum())
    if not held:
        return np.zeros(len(tokens_N), np.int64)
    whole = int(wanted / held + 1e-9)
    reached_N = np.cumsum(tokens_N * weight_N) - (0 if capped else tokens_N * weight_N / 2)
    return weight_N * (whole + (reached_N <= wanted - whole * held))


def _nothing_left(fixed: float, asked: Mix) -> EtymonError:
    named = ", ".join(f"{name}: {times:g}" for name, times in asked.epochs.items())
    return EtymonError(
        f"corpus.mix.epochs ({named}) asks for {fixed:,.0f} tokens in one pass, and corpus.mix.tokens is {asked.tokens:,}, "
        "which leaves nothing to the other sources.",
        "Raise `tokens`, or leave it out: a pass then has what `epochs` ask for and all that the other sources have.",
    )


def _nothing_mixed(held: int, wanted_S: Floats, asked: Mix) -> EtymonError:
    given = sorted(asked.model_fields_set, key=list(Mix.model_fields).index)
    said = ", ".join(f"{name}: {getattr(asked, name)}" for name in given)
    wanted = int(wanted_S.sum())
    return EtymonError(
        f"corpus.mix ({said}) leaves nothing to learn: it asks for {wanted:,} of the {held:,} tokens that the sources have, "
        "and whole documents are drawn.",
        f"Raise {' or '.join(f'corpus.mix.{name}' for name in given if name in _SIZES) or 'its values'}, or leave `mix` out.",
    )


def _refuse_unknown(names: Sequence[str], asked: Mix) -> None:
    there = f"There are {', '.join(names)}."
    for section in (asked.weights, asked.epochs, asked.most_tokens):
        if strange := next((name for name in section if name not in names), None):
            raise EtymonError(f"corpus.mix names the source {strange!r}, of which there is nothing to learn from.", there)
    if asked.weights and (missing := next((n for n in names if n not in asked.weights and n not in asked.epochs), None)):
        raise EtymonError(
            f"corpus.mix gives weights, and none to the source {missing!r}.",
            f"Give it a weight (0 leaves it out), or say in `epochs` how often it is read. {there}",
        )
