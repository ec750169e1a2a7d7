"""Screening a board: every listed model against every other that no declaration joins to it, and the flags that follow.

The test is that of ``lineage``. Its p-values are adjusted by Holm for every pair of the board that is not declared, also for
pairs whose neurons could not be compared and, on large boards, those that fingerprints leave out (``shortlist``): they count
with a p-value of 1.
"""

import datetime
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from etymon.board.entries import Reuse, Screening
from etymon.board.file import ListedModel
from etymon.board.flags import LARGEST_P, Flag, Step
from etymon.commands.screening.shortlist import SMALL, LeftOut, left_out
from etymon.errors import EtymonError
from etymon.foundation.model import Model
from etymon.lineage.align.correspond import Side
from etymon.lineage.compare import compare_sides, opened
from etymon.lineage.stage import COMPARISON_VERSION
from etymon.lineage.verdict import SMALLEST_SHARE
from etymon.progress import Listener, silent
from etymon.statistics.multiplicity import holm
from etymon.store import Artifact, Config, Draft, Input, Stage, Store

NOT_SHORTLISTED = "not shortlisted"
"""In place of a verdict: the weights were not compared."""


class Pair(Config):
    """What the weights say of two models; the model was listed after the other."""

    verdict: str
    p_value: float | None
    effect: float | None
    power: float | None
    direction: str
    shared_matrices: int
    shared_share: float
    same_architecture: bool
    same_vocabulary: bool | None
    reasons: tuple[str, ...]


class ScreenMeaning(Config):
    """What fingerprints left out of the comparison."""

    left_out: tuple[LeftOut, ...] = ()


class ScreenExecution(Config):
    """Nothing to choose."""


Pairs = Mapping[tuple[str, str], Pair]
"""By the names of the model and of one listed before it."""


def screened_pair(model: Side, other: Side) -> Pair:
    """Compare two models that are open. What is computed for a side alone is computed once."""
    found = compare_sides(model, other)
    return Pair(
        verdict=found.verdict,
        p_value=found.p_value,
        effect=found.effect,
        power=found.power,
        direction=found.direction,
        shared_matrices=found.shared_matrices,
        shared_share=found.shared_share,
        same_architecture=found.same_architecture,
        same_vocabulary=found.same_vocabulary,
        reasons=found.reasons,
    )


def _screen(draft: Draft[ScreenMeaning, ScreenExecution]) -> None:
    """Inputs: ``model`` and, by their digests, those it is compared with. Writes ``pairs.json``, by these digests."""
    model: Model = draft.inputs["model"]
    others = {role: given for role, given in draft.inputs.items() if role != "model"}
    clock = draft.clock("comparing weights", total=len(others), unit="models")
    pairs = {}
    side = opened(model.folder, model.name)
    for done, (role, other) in enumerate(others.items(), start=1):
        beside = opened(other.folder, other.name)
        pairs[role] = screened_pair(side, beside).model_dump(mode="json")
        clock(done)
    pairs |= {each.weights: _not_shortlisted(each).model_dump(mode="json") for each in draft.meaning.left_out}
    (draft.folder / "pairs.json").write_text(json.dumps(pairs, indent=1, ensure_ascii=False), "utf-8")
    draft.facts |= {"pairs": len(pairs), "related": sum(pair["verdict"] == "related" for pair in pairs.values())}


def _not_shortlisted(left_out: LeftOut) -> Pair:
    told = {"the embeddings of common tokens": left_out.tokens, "what the layers read and write": left_out.layers}
    alike = " and ".join(f"r = {value:.2f} in {what}" for what, value in told.items() if value is not None)
    return Pair(
        verdict=NOT_SHORTLISTED,
        p_value=1.0,
        effect=None,
        power=None,
        direction="unknown",
        shared_matrices=0,
        shared_share=0.0,
        same_architecture=left_out.same_architecture,
        same_vocabulary=left_out.same_vocabulary,
        reasons=(f"Their fingerprints are less alike ({alike}) than those of other models of the board.",),
    )


screen_stage = Stage("screen", COMPARISON_VERSION, _screen, ScreenMeaning, ScreenExecution)


@dataclass(frozen=True)
class Screened:
    """What screening a board gave."""

    models: tuple[ListedModel, ...]
    """Each with the artifact that holds its pairs."""
    pairs: Pairs
    declared: int
    """Pairs that a declaration joins, which are not tested."""
    unopened: dict[str, str]
    """Listed models that are needed and cannot be opened as they were listed, with the reason: their pairs are untested."""


def declared_kin(models: Sequence[ListedModel]) -> set[tuple[int, int]]:
    """Pairs of places, the lesser first, of which one is declared to derive from the other or both from a common origin.

    Models are known by the digest of their weights, never by name: who declares a parent by name alone has declared none.
    """
    known = _origins(models)
    return {(i, j) for i, j in combinations(range(len(models)), 2) if known[i] & known[j]}


def declared_siblings(models: Sequence[ListedModel]) -> list[tuple[int, int]]:
    """Those of them of which neither is declared to derive from the other."""
    known, weights = _origins(models), [model.weights for model in models]
    return [(i, j) for i, j in sorted(declared_kin(models)) if weights[i] not in known[j] and weights[j] not in known[i]]


def _origins(models: Sequence[ListedModel]) -> list[set[str]]:
    """By place, the digests of a model's weights and of all that it is declared to derive from."""
    by_weights = {model.weights: model for model in models}

    def origins(model: ListedModel) -> set[str]:
        found, waiting = {model.weights}, [model]
        while waiting:
            for parent in waiting.pop().parents:
                if parent.weights and parent.weights not in found:
                    found.add(parent.weights)
                    if parent.weights in by_weights:
                        waiting.append(by_weights[parent.weights])
        return found

    return [origins(model) for model in models]


def screen_models(
    models: Sequence[ListedModel], opener: Callable[[ListedModel], Model], store: Store, listener: Listener = silent
) -> Screened:
    """Compare every undeclared pair that no earlier screening has; of a large board, those that fingerprints do not rule out.

    What was screened by an earlier version of the comparison is screened again.

    ``opener`` raises EtymonError for a model that is gone.
    """
    kin = declared_kin(models)
    artifacts = {artifact.name: artifact for artifact in store.artifacts()}
    pairs: dict[tuple[str, str], Pair] = {}
    unopened: dict[str, str] = {}
    found: list[ListedModel] = []
    at_hand: dict[str, Model] = {}

    def at_hand_or_opened(model: ListedModel) -> Model | None:
        if model.model not in at_hand and model.model not in unopened:
            try:
                at_hand[model.model] = opener(model)
            except EtymonError as error:
                unopened[model.model] = error.problem
        return at_hand.get(model.model)

    for place, model in enumerate(models):
        others = [other for number, other in enumerate(models[:place]) if (number, place) not in kin]
        earlier = artifacts.get(model.screened or "")
        current = earlier is not None and earlier.manifest.stage_version == COMPARISON_VERSION
        stored = dict(_pairs_of(earlier)) if earlier else {}
        known, made = stored if current else {}, model.screened
        if any(other.weights not in known for other in others) and (own := at_hand_or_opened(model)):
            unlikely = left_out(model, others, at_hand_or_opened, store) if len(models) >= SMALL else ()
            meaning = ScreenMeaning(left_out=tuple(each for each in unlikely if each.weights not in known))
            passed = {each.weights for each in meaning.left_out}
            given = {
                other.weights: opened_other
                for other in others
                if other.weights not in passed and (opened_other := at_hand_or_opened(other))
            }
            inputs: dict[str, Input] = {"model": own, **given}
            artifact, _ = store.obtain(screen_stage, inputs, meaning, ScreenExecution(), listener)
            known, made = dict(_pairs_of(artifact)) | known, artifact.name
        elif not current:
            known = stored  # which cannot be done again
        pairs |= {(model.model, other.model): known[other.weights] for other in others if other.weights in known}
        found.append(model.model_copy(update={"screened": made}))
    return Screened(tuple(found), pairs, len(kin), unopened)


def _pairs_of(artifact: Artifact) -> Iterator[tuple[str, Pair]]:
    for other, pair in artifact.read_json("pairs.json").items():
        yield other, Pair.model_validate(pair)


def find_flags(
    models: Sequence[ListedModel], pairs: Pairs, known: Sequence[Flag], today: datetime.date
) -> tuple[tuple[Flag, ...], Screening]:
    """The flags of a board: those it has, as they stand, and new ones for pairs that have none.

    A flag needs a verdict of related, which asks for an effect, and an adjusted p-value (``flags``); or matrices that are the
    same bit for bit.
    """
    kin = declared_kin(models)
    family = [(models[j], models[i]) for i, j in combinations(range(len(models)), 2) if (i, j) not in kin]
    tested = [pairs.get((model.model, other.model)) for model, other in family]
    p_values = [1.0 if pair is None or pair.p_value is None else pair.p_value for pair in tested]
    flagged = {frozenset((flag.model, flag.other)) for flag in known}
    flags = list(known)
    for (model, other), pair, adjusted in zip(family, tested, holm(p_values).tolist(), strict=True):
        if pair is None or frozenset((model.model, other.model)) in flagged:
            continue
        same = pair.shared_matrices > 0 and pair.shared_share >= SMALLEST_SHARE
        alike = pair.effect is not None and pair.verdict == "related" and adjusted <= LARGEST_P
        if not same and not alike:
            continue
        answerable, origin = _who_should_have_said(model, other)
        flags.append(
            Flag(
                model=answerable.model,
                other=origin.model,
                ground="matrices" if same else "neurons",
                effect=pair.effect,
                p_value=pair.p_value,
                p_adjusted=None if pair.p_value is None else adjusted,
                pairs=len(family),
                shared_matrices=pair.shared_matrices,
                shared_share=pair.shared_share,
                direction=_direction(pair, answerable is model),
                released=answerable.released,
                other_released=origin.released,
                steps=(Step(date=today, state="open"),),
            )
        )
    untested = sum(pair is None or pair.p_value is None for pair in tested)
    ruled_out = sum(pair is not None and pair.verdict == NOT_SHORTLISTED for pair in tested)
    return tuple(flags), Screening(pairs=len(family), untested=untested, ruled_out=ruled_out, declared=len(kin))


def reuse_of(models: Sequence[ListedModel], pairs: Pairs) -> dict[str, tuple[Reuse, ...]]:
    """By the model's name: the first listed model whose architecture it has, and the first whose tokenizer it has.

    Neutral: neither is a derivation, and a model that is declared to derive from another is not compared with it.
    """
    found: dict[str, tuple[Reuse, ...]] = {}
    for place, model in enumerate(models):
        beside = [(other.model, pairs.get((model.model, other.model))) for other in models[:place]]
        compared = [(name, pair) for name, pair in beside if pair]
        shape = next((name for name, pair in compared if pair.same_architecture), None)
        tokens = next((name for name, pair in compared if pair.same_vocabulary), None)
        found[model.model] = tuple(
            Reuse(other=name, architecture=pair.same_architecture, tokenizer=pair.same_vocabulary)
            for name, pair in compared
            if name in (shape, tokens)
        )
    return found


def _who_should_have_said(model: ListedModel, other: ListedModel) -> tuple[ListedModel, ListedModel]:
    """The one that came later, by release, else by listing; and the other.

    Where the weights say the opposite, the flag says both (``order_disputed``): whoever took weights can arrange them so that
    they look older, and a date can be wrong, so neither alone accuses.
    """
    if model.released and other.released and other.released > model.released:
        return other, model
    return model, other


def _direction(pair: Pair, as_compared: bool) -> str:
    turned = {"model from parent": "parent from model", "parent from model": "model from parent"}
    return pair.direction if as_compared else turned.get(pair.direction, pair.direction)


def read_pairs(models: Sequence[ListedModel], store: Store) -> Pairs:
    """The pairs that earlier screenings of these models have; nothing is compared."""
    artifacts = {artifact.name: artifact for artifact in store.artifacts()}
    names = {model.weights: model.model for model in models}
    return {
        (model.model, names[weights]): pair
        for model in models
        if model.screened in artifacts
        for weights, pair in _pairs_of(artifacts[model.screened])
        if weights in names
    }
