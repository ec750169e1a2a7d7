"""Weights read the same whatever holds them, and nothing outside the model's folder is ever opened."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from safetensors.torch import save_file
from tiny_gguf import write_tiny_gguf

from etymon.errors import EtymonError
from etymon.foundation.weights import INDEX, open_weights

KINDS = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int16, torch.int32,
    torch.int64, torch.bool,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_is_read_as_float32(tmp_path: Path, kind: torch.dtype) -> None:
    values = (torch.randn(3, 5) * 40).to(kind)
    save_file({"x": values, "empty": torch.empty(0, 4, dtype=kind)}, tmp_path / "model.safetensors")
    weights = open_weights(tmp_path)
    assert weights.names == ("empty", "x")
    assert weights.shape("empty") == (0, 4)
    np.testing.assert_array_equal(weights.read("x"), values.float().numpy())
    assert bytes(weights.raw("x")) == values.contiguous().view(torch.uint8).numpy().tobytes()
    assert weights.nbytes == values.numel() * values.element_size()


def test_shards_are_one_set_of_weights(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"b": torch.zeros(3)}, tmp_path / "model-00002-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (tmp_path / INDEX).write_text(json.dumps(index))
    assert open_weights(tmp_path).names == ("a", "b")
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(EtymonError, match="lacks model-00002-of-00002"):
        open_weights(tmp_path)


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/outside.safetensors", "a\\b.safetensors", "model.bin", "", ".."]
)
def test_an_index_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "outside.safetensors")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(EtymonError, match="not a plain name"):
        open_weights(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', '{"weight_map": {"a": []}}']
)
def test_a_malformed_index_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(EtymonError, match=INDEX):
        open_weights(tmp_path)


def test_a_symbolic_link_out_of_the_folder_is_refused_but_the_hub_cache_is_not(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "secret.safetensors")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to("../secret.safetensors")
    with pytest.raises(EtymonError, match="symbolic link"):
        open_weights(folder)
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "abc", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    save_file({"a": torch.ones(2)}, blobs / "0123")
    (snapshot / "model.safetensors").symlink_to("../../blobs/0123")
    assert open_weights(snapshot).names == ("a",)


def test_pickles_and_strangers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EtymonError, match="has no weights"):
        open_weights(tmp_path)
    torch.save({"a": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(EtymonError, match="a pickle"):
        open_weights(tmp_path)
    with pytest.raises(EtymonError, match=r"neither \.safetensors nor \.gguf"):
        open_weights(tmp_path / "pytorch_model.bin")
    with pytest.raises(EtymonError, match="no model file"):
        open_weights(tmp_path / "nothing.gguf")


def test_two_files_with_the_same_tensor_are_refused(tmp_path: Path) -> None:
    for name in ("one.safetensors", "two.safetensors"):
        save_file({"a": torch.ones(2)}, tmp_path / name)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    with pytest.raises(EtymonError, match="is also in one"):
        open_weights(tmp_path)


def test_gguf_has_transformers_names_and_stored_bytes(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", kind=Kind.Q4_1)
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    weights = open_weights(path)
    assert "model.layers.2.mlp.down_proj.weight" in weights.names
    assert weights.dtype("model.embed_tokens.weight") == "Q4_1"
    up = stored["blk.1.ffn_up.weight"]
    name = "model.layers.1.mlp.up_proj.weight"
    assert bytes(weights.raw(name)) == up.data.tobytes()
    np.testing.assert_array_equal(weights.read(name), gguf.quants.dequantize(up.data, up.tensor_type))


def test_an_unknown_architecture_keeps_its_own_names(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "strange.gguf", "stablelm")
    assert "blk.0.attn_q.weight" in open_weights(path).names
