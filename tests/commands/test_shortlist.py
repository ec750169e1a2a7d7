"""On a large board fingerprints choose the pairs that are tested, and no relative is lost."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lineage"))

import numpy as np
from lineage_models import VOCABULARY, random_model, tensors_of
from lineage_transforms import drop_layers, noise, permute_neurons, rescale_neurons, rotate_residual, write_weights
from test_screen import TODAY, listed

from etymon.board.file import ListedModel
from etymon.commands.screening.screen import find_flags, screen_models
from etymon.commands.screening.shortlist import SMALL
from etymon.foundation.model import Model
from etymon.lineage.index.tokens import TOKENS
from etymon.store import Store, value_digest

ROWS = [*(token.replace(" ", "▁") for token in TOKENS), *(f"more{n}" for n in range(VOCABULARY - len(TOKENS)))]
TOKENIZER = json.dumps({"model": {"type": "BPE", "vocab": {token: row for row, token in enumerate(ROWS)}}})


def known(name: str, *parents: str) -> ListedModel:
    return listed(name, *parents).model_copy(update={"weights": value_digest(name)})


def test_relatives_are_tested_and_who_is_left_out_counts_as_screened(tmp_path: Path) -> None:
    made = {f"m{n}": tensors_of(random_model(n, num_hidden_layers=10, intermediate_size=96)) for n in range(SMALL + 10)}
    base = made["m7"]
    fresh = np.random.default_rng(0).standard_normal(base["model.embed_tokens.weight"].shape).astype(np.float32)
    copies = {
        "noised": noise(base, 0.5),
        "turned": rescale_neurons(permute_neurons(rotate_residual(base))),
        "shortened": drop_layers(noise(base, 0.1), {2, 3}),
        "other words": {name: fresh if "embed" in name else values for name, values in base.items()},
    }
    folders = {name: write_weights(tmp_path / name, values, TOKENIZER) for name, values in made.items()}

    def opener(model: ListedModel) -> Model:
        return Model(name=model.model, folder=folders[model.model], digest=model.digest, facts=None)  # type: ignore[arg-type]

    for name, values in copies.items():
        folders[name] = write_weights(tmp_path / name, values, TOKENIZER)
        store = Store(tmp_path / f"store of {name}")
        models = [known(each, "origin") for each in made]  # declared kin, so that only the new model is compared
        models.append(known(name))
        screened = screen_models(models, opener, store)
        pairs = {other: pair for (_, other), pair in screened.pairs.items()}
        assert len(pairs) == len(made)
        assert pairs["m7"].verdict != "not shortlisted", name
        left = [pair for pair in pairs.values() if pair.verdict == "not shortlisted"]
        assert left
        assert {pair.p_value for pair in left} == {1.0}
        flags, screening = find_flags(screened.models, screened.pairs, (), TODAY)
        if name != "turned":  # gate and up of a random start cannot be told apart, and a rotation hides what else would tell
            assert [(flag.model, flag.other, flag.pairs) for flag in flags] == [(name, "m7", len(made))]
        assert screening.untested == 0
        assert screen_models(screened.models, opener, store).pairs == screened.pairs
