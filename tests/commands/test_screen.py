"""Who is flagged and who is not: declared kin never, independents never, the undeclared child always."""

import datetime
import json
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "lineage"))

from lineage_models import VOCABULARY, random_model, tensors_of
from lineage_transforms import Tensors, noise, permute_neurons, permute_residual, write_weights

from etymon.board.entries import Parent
from etymon.board.file import ListedModel
from etymon.board.words import flag_in_words, screening_in_words
from etymon.commands.screening.screen import (
    Pair,
    ScreenExecution,
    ScreenMeaning,
    declared_kin,
    find_flags,
    reuse_of,
    screen_models,
    screen_stage,
    screened_pair,
)
from etymon.errors import EtymonError
from etymon.foundation.model import Model
from etymon.lineage.compare import opened
from etymon.store import Store

TODAY = datetime.date(2026, 3, 1)
TOKENIZER = json.dumps({"model": {"type": "BPE", "vocab": {f"t{row}": row for row in range(VOCABULARY)}}})


def listed(name: str, *parents: str, **more) -> ListedModel:
    declared = tuple(Parent(name=f"called-{parent}", weights=f"w-{parent}") for parent in parents)
    return ListedModel(
        model=name, source=name, digest=f"d-{name}", weights=f"w-{name}", listed=TODAY, parents=declared, parameters=1, **more
    )


def weights(seed: int) -> Tensors:
    """Twelve narrow layers: deep enough for a p-value that survives 800 pairs."""
    return tensors_of(random_model(seed, num_hidden_layers=12, intermediate_size=96))


def test_siblings_and_independents_raise_no_flag_and_the_undeclared_child_one(tmp_path: Path) -> None:
    """20 declared siblings of one base that is not on the board, 20 independents, and a hidden copy of one of these."""
    base = weights(100)
    tensors = {f"sibling{n}": noise(base, 0.05, n) for n in range(20)} | {f"other{n}": weights(n) for n in range(20)}
    models = [listed(name, *(["base"] if name.startswith("sibling") else [])) for name in tensors]
    hidden = permute_neurons(permute_residual(noise(tensors["other7"], 0.2)))
    models.append(listed("child"))
    kin = declared_kin(models)
    pairs: dict[tuple[str, str], Pair] = {}
    sides = {
        name: opened(write_weights(tmp_path / name, values, TOKENIZER), name)
        for name, values in (tensors | {"child": hidden}).items()
    }
    for i, j in combinations(range(len(models)), 2):
        if (i, j) not in kin:
            pairs[models[j].model, models[i].model] = screened_pair(sides[models[j].model], sides[models[i].model])
    without = {key: pair for key, pair in pairs.items() if "child" not in key}
    flags, screening = find_flags(models[:40], without, (), TODAY)
    assert flags == ()
    assert (screening.pairs, screening.declared, screening.untested) == (590, 190, 0)
    flags, screening = find_flags(models, pairs, (), TODAY)
    assert screening.pairs == 630
    (flag,) = flags
    assert (flag.model, flag.other, flag.ground, flag.state) == ("child", "other7", "neurons", "open")
    assert flag.effect is not None
    assert flag.effect > 0.9
    assert flag.p_adjusted is not None
    assert flag.p_adjusted < 0.001
    again, _ = find_flags(models, pairs, flags, TODAY)
    assert again == flags
    neutral = reuse_of(models, pairs)
    assert neutral["other1"][0].architecture
    assert neutral["other1"][0].tokenizer
    assert neutral["sibling3"] == ()


def test_kin_are_declared_by_weights_and_never_by_name() -> None:
    models = [
        listed("base"),
        listed("child", "base"),
        listed("grandchild", "child"),
        listed("cousin", "base"),
        listed("stranger"),
        ListedModel(
            model="liar", source="x", digest="d", weights="w-liar", listed=TODAY, parents=(Parent(name="base"),), parameters=1
        ),
        listed("left", "elsewhere"),
        listed("right", "elsewhere"),
    ]
    kin = {(models[i].model, models[j].model) for i, j in declared_kin(models)}
    assert kin == {
        ("base", "child"), ("base", "grandchild"), ("base", "cousin"), ("child", "grandchild"), ("child", "cousin"),
        ("grandchild", "cousin"), ("left", "right"),
    }  # fmt: skip


def pair(**changes) -> Pair:
    plain = {
        "verdict": "related", "p_value": 1e-9, "effect": 0.9, "power": 1.0, "direction": "unknown", "shared_matrices": 0,
        "shared_share": 0.0, "same_architecture": True, "same_vocabulary": True, "reasons": (),
    }  # fmt: skip
    return Pair.model_validate(plain | changes)


def test_a_flag_needs_effect_and_a_p_value_that_survives_every_pair() -> None:
    models = [listed(f"m{n}") for n in range(41)]
    none = pair(p_value=0.5, effect=0.0)
    independent = {(models[j].model, models[i].model): none for i, j in combinations(range(41), 2)}

    def flags(**changes):
        return find_flags(models, independent | {("m1", "m0"): pair(**changes)}, (), TODAY)[0]

    assert len(flags(p_value=1e-6)) == 1
    assert flags(p_value=1e-4) == ()  # 820 pairs
    assert flags(verdict="inconclusive", effect=0.09) == ()
    assert flags(p_value=None, effect=None) == ()
    (same,) = flags(p_value=None, effect=None, shared_matrices=3, shared_share=0.2)
    assert (same.ground, same.p_adjusted) == ("matrices", None)
    assert flags(p_value=0.5, effect=0.0, shared_matrices=1, shared_share=0.001) == ()
    assert len(find_flags(models[:2], {("m1", "m0"): pair(p_value=0.005)}, (), TODAY)[0]) == 1  # one pair needs no more
    discarded, screening = find_flags(models, {("m1", "m0"): pair(p_value=1e-4)}, (), TODAY)
    assert discarded == ()  # the 819 that an index discarded count too
    assert (screening.pairs, screening.untested) == (820, 819)


@pytest.mark.parametrize(
    ("direction", "earlier", "later", "answerable"),
    [
        ("model from parent", None, None, "second"),
        ("parent from model", None, None, "second"),
        ("unknown", None, None, "second"),
        ("unknown", datetime.date(2025, 5, 1), datetime.date(2024, 1, 1), "first"),
        ("model from parent", datetime.date(2025, 5, 1), datetime.date(2024, 1, 1), "first"),
        ("parent from model", datetime.date(2025, 5, 1), datetime.date(2024, 1, 1), "first"),
        ("parent from model", datetime.date(2024, 1, 1), datetime.date(2025, 5, 1), "second"),
    ],
)
def test_the_later_model_by_date_has_to_answer_and_the_weights_alone_accuse_nobody(
    direction, earlier, later, answerable
) -> None:
    models = [listed("first", released=earlier), listed("second", released=later)]
    (flag,), _ = find_flags(models, {("second", "first"): pair(direction=direction)}, (), TODAY)
    assert flag.model == answerable
    by_the_weights = {"model from parent": "second", "parent from model": "first"}.get(direction)
    assert flag.order_disputed == (by_the_weights not in (None, answerable))
    told = flag_in_words(flag)
    assert ("disputed" in told) == flag.order_disputed
    if flag.order_disputed and earlier:
        assert str(earlier) in told
        assert str(later) in told
        assert f"by the weights {flag.other} came from {flag.model}; the operator decides" in told


def test_pairs_ruled_out_by_fingerprints_are_counted_apart() -> None:
    models = [listed(f"m{n}") for n in range(3)]
    passed = pair(verdict="not shortlisted", p_value=1.0, effect=None, power=None)
    pairs = {("m1", "m0"): passed, ("m2", "m0"): passed, ("m2", "m1"): pair(p_value=None, effect=None)}
    _, screening = find_flags(models, pairs, (), TODAY)
    assert (screening.pairs, screening.ruled_out, screening.untested) == (3, 2, 1)
    assert screening_in_words(screening) == (
        "3 pairs, of which 2 were ruled out by their fingerprints alone and 1 could not be tested; 0 more are declared kin"
    )


def test_pairs_of_an_earlier_comparison_are_done_again(tmp_path: Path) -> None:
    tensors = {"one": weights(1), "copy": noise(weights(1), 0.1)}
    folders = {name: write_weights(tmp_path / name, values, TOKENIZER) for name, values in tensors.items()}
    models = [listed(name) for name in tensors]

    def opener(model: ListedModel) -> Model:
        return Model(name=model.model, folder=folders[model.model], digest=model.digest, facts=None)  # type: ignore[arg-type]

    def gone(model: ListedModel) -> Model:
        raise EtymonError(f"{model.model} is gone.", "")

    store = Store(tmp_path / "store")
    earlier = replace(screen_stage, version=screen_stage.version - 1)
    old, _ = store.obtain(
        earlier, {"model": opener(models[1]), "w-one": opener(models[0])}, ScreenMeaning(), ScreenExecution()
    )
    models[1] = models[1].model_copy(update={"screened": old.name})
    assert screen_models(models, gone, store).models[1].screened == old.name
    assert screen_models(models, gone, store).pairs["copy", "one"].verdict == "related"
    again = screen_models(models, opener, store)
    assert again.models[1].screened != old.name
    assert again.pairs["copy", "one"].verdict == "related"


def test_screening_is_kept_and_only_what_is_missing_is_done(tmp_path: Path) -> None:
    base = weights(1)
    tensors = {"one": base, "two": weights(2), "copy": noise(base, 0.1)}
    folders = {name: write_weights(tmp_path / name, values, TOKENIZER) for name, values in tensors.items()}
    asked: list[str] = []

    def opener(model: ListedModel) -> Model:
        asked.append(model.model)
        return Model(name=model.model, folder=folders[model.model], digest=model.digest, facts=None)  # type: ignore[arg-type]

    store = Store(tmp_path / "store")
    models = [listed(name) for name in tensors]
    first = screen_models(models[:2], opener, store)
    assert list(first.pairs) == [("two", "one")]
    asked.clear()
    second = screen_models([*first.models, models[2]], opener, store)
    assert set(asked) == {"one", "two", "copy"}
    assert second.pairs["copy", "one"].verdict == "related"
    assert second.pairs["copy", "two"].verdict == "independent"
    asked.clear()
    assert screen_models(second.models, opener, store).pairs == second.pairs
    assert asked == []
    flags, screening = find_flags(second.models, second.pairs, (), TODAY)
    assert [(flag.model, flag.other) for flag in flags] == [("copy", "one")]
    assert screening.pairs == 3


def test_one_taken_over_embedding_is_its_own_ground(tmp_path: Path) -> None:
    one, other = weights(5), weights(6)
    other["model.embed_tokens.weight"] = one["model.embed_tokens.weight"]
    sides = [opened(write_weights(tmp_path / n, v, TOKENIZER), n) for n, v in (("a", one), ("b", other))]
    found = screened_pair(sides[1], sides[0])
    assert found.shared_matrices == 1
    assert found.shared_share == pytest.approx(
        one["model.embed_tokens.weight"].size / sum(int(np.prod(v.shape)) for v in other.values())
    )
    (flag,), _ = find_flags([listed("a"), listed("b")], {("b", "a"): found}, (), TODAY)
    assert flag.ground == "matrices"
