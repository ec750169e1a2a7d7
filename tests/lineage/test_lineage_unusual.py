"""Models that the test was not made for, and files that are none: a clear answer or a clear refusal."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lineage_models import VOCABULARY, random_model, tensors_of, train
from lineage_transforms import noise, write_weights
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from etymon.errors import EtymonError
from etymon.foundation.weights import open_weights
from etymon.lineage.compare import compare
from etymon.lineage.explain import explain
from etymon.lineage.read.structure import read_structure


def bert(seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=192, num_hidden_layers=6, num_attention_heads=2,
        max_position_embeddings=64,
    )  # fmt: skip
    return BertModel(config)


def gpt2(seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=64, n_layer=6, n_head=2, n_positions=64))


@pytest.mark.parametrize("make", [bert, gpt2])
def test_models_without_gated_mlps_are_answered(tmp_path: Path, make: Callable[[int], PreTrainedModel]) -> None:
    make(1).save_pretrained(tmp_path / "one")
    make(2).save_pretrained(tmp_path / "other")
    weights = open_weights(tmp_path / "one")
    tensors = {name: weights.read(name).copy() for name in weights.names}
    write_weights(tmp_path / "noised", noise(tensors, 0.01))
    assert compare(tmp_path / "one", tmp_path / "one").identical
    for model in ("other", "noised"):
        found = compare(tmp_path / model, tmp_path / "one")
        assert found.verdict == "inconclusive"
        assert "no gated MLP" in " ".join(found.reasons)
        assert explain(found)[0].startswith("inconclusive")


def test_an_encoder_against_a_decoder_is_answered(tmp_path: Path) -> None:
    bert(1).save_pretrained(tmp_path / "encoder")
    gpt2(1).save_pretrained(tmp_path / "gpt2")
    random_model(1).save_pretrained(tmp_path / "llama")
    for model, parent in (("encoder", "llama"), ("llama", "encoder"), ("gpt2", "llama"), ("encoder", "gpt2")):
        assert compare(tmp_path / model, tmp_path / parent).verdict == "inconclusive"


def test_one_layer_is_read_and_too_few_to_tell(tmp_path: Path) -> None:
    """A copy of one layer agrees in every neuron, but there is no layer that could be a decoy."""
    base = tensors_of(train(random_model(1, num_hidden_layers=1), 10))
    parent = write_weights(tmp_path / "parent", base)
    weights = open_weights(parent)
    structure = read_structure(weights)
    assert len(structure.layers) == 1
    assert structure.gated
    assert compare(parent, parent).identical
    found = compare(write_weights(tmp_path / "noised", noise(base, 0.05)), parent)
    assert found.verdict == "inconclusive"
    assert found.effect is not None
    assert found.effect > 0.9
    other = write_weights(tmp_path / "other", tensors_of(random_model(2, num_hidden_layers=1)))
    assert compare(other, parent).verdict == "independent"


def test_one_layer_of_experts_is_not_taken_for_many_layers(tmp_path: Path) -> None:
    from test_lineage_experts import mixtral

    mixtral(1).save_pretrained(tmp_path)
    weights = open_weights(tmp_path)
    one = {name: weights.read(name).copy() for name in weights.names if "layers." not in name or "layers.0." in name}
    weights = open_weights(write_weights(tmp_path / "one", one))
    structure = read_structure(weights)
    assert len(structure.layers) == 1
    assert len(structure.layer_experts(0)) == 4


@pytest.mark.parametrize(
    "tensors",
    [
        {"x": np.ones((3, 4), np.float32)},
        {"x": np.zeros((0, 4), np.float32)},
        {"x": np.float32(1).reshape(())},
        {"x": np.ones(5, np.float32)},
        {"x.0.y": np.ones((2, 2), np.float32), "x.1.y": np.ones((2, 2), np.float32)},
    ],
)
def test_files_of_hardly_a_tensor_are_answered(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    few = write_weights(tmp_path / "few", tensors)
    base = write_weights(tmp_path / "base", tensors_of(random_model(1)))
    for model, parent in ((few, base), (base, few)):
        found = compare(model, parent)
        assert found.verdict == "inconclusive"
        assert explain(found)
    assert compare(few, few).verdict == "inconclusive"  # constants show nothing


def test_folders_that_hold_no_model_are_refused(tmp_path: Path) -> None:
    base = write_weights(tmp_path / "base", tensors_of(random_model(1)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(EtymonError, match="no weights"):
        compare(tmp_path / "empty", base)
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(EtymonError, match="pickle"):
        compare(base, tmp_path / "pickled")


def test_numbers_in_meaningless_names_make_no_layers(tmp_path: Path) -> None:
    """Six matrices whose names happen to hold two numbers, among many that hold none."""
    base = tensors_of(random_model(1))
    renamed = dict(zip((f"{letter}{other}" for letter in "abcdefgh" for other in "abcdefgh"), base.values(), strict=False))
    assert len(renamed) == len(base)
    shapes: dict[tuple[int, ...], list[str]] = {}
    for name, values in renamed.items():
        shapes.setdefault(values.shape, []).append(name)
    numbered = {
        name: f"{name}{number}" for names in shapes.values() for number, name in enumerate(names[:2]) if len(names) > 3
    }
    lineage = compare(
        write_weights(tmp_path / "model", {numbered.get(name, name): values for name, values in renamed.items()}),
        write_weights(tmp_path / "parent", base),
    )
    assert lineage.verdict == "related"
