"""Networks and tokenizers load quietly, completely, and without running anything that came with the model."""

import json
import shutil
from pathlib import Path

import jinja2
import pytest
import torch
from safetensors.torch import load_file, save_file

from etymon.errors import EtymonError
from etymon.foundation.model import Model
from etymon.foundation.network import load_network, load_tokenizer, random_network
from etymon.foundation.sources import open_model
from etymon.store import Store


@pytest.fixture
def model(tiny_llama: Path, tmp_path: Path) -> Model:
    folder = shutil.copytree(tiny_llama, tmp_path / "model")
    return open_model(str(folder), cache=Store(tmp_path / "cache"))


def test_the_network_has_the_stored_weights(model: Model, capfd: pytest.CaptureFixture[str]) -> None:
    network = load_network(model)
    stored = load_file(model.folder / "model.safetensors")
    for name, values in network.named_parameters():
        assert torch.equal(values, stored[name])
    assert not network.training
    assert load_network(model, dtype=torch.bfloat16).dtype == torch.bfloat16
    assert load_network(model, attention="eager").config._attn_implementation == "eager"
    load_tokenizer(model)
    random_network(model, 0)
    assert capfd.readouterr() == ("", "")


def test_a_random_network_follows_its_seed_alone(model: Model) -> None:
    before = torch.get_rng_state()
    one, same, other = random_network(model, 1), random_network(model, 1), random_network(model, 2)
    assert torch.equal(before, torch.get_rng_state())
    differ = 0
    for (name, values), a, b in zip(one.named_parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(values, a), name
        differ += not torch.equal(values, b)
    assert differ > 10
    stored = load_network(model)
    assert {name: v.shape for name, v in stored.named_parameters()} == {name: v.shape for name, v in one.named_parameters()}


def test_missing_weights_are_refused(model: Model) -> None:
    path = model.folder / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(EtymonError, match=r"lacks 1 weights.*layers\.1\.mlp\.up_proj"):
        load_network(model)


def test_weights_of_another_shape_are_refused(model: Model, capfd: pytest.CaptureFixture[str]) -> None:
    config = json.loads((model.folder / "config.json").read_text())
    (model.folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 100}))
    with pytest.raises(EtymonError, match="cannot load"):
        load_network(model)
    assert capfd.readouterr() == ("", "")


def test_an_unknown_architecture_is_refused(model: Model) -> None:
    config = json.loads((model.folder / "config.json").read_text())
    (model.folder / "config.json").write_text(json.dumps(config | {"model_type": "klingon"}))
    with pytest.raises(EtymonError, match="cannot load"):
        load_network(model)
    with pytest.raises(EtymonError, match="cannot load"):
        random_network(model, 0)


def test_code_that_appears_later_is_refused_too(model: Model) -> None:
    config = json.loads((model.folder / "config.json").read_text())
    (model.folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoConfig": "evil.Config"}}))
    for load in (load_network, load_tokenizer, lambda m: random_network(m, 0)):
        with pytest.raises(EtymonError, match="never run here"):
            load(model)


def test_a_damaged_tokenizer_is_refused(model: Model) -> None:
    (model.folder / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["x y"]}}')
    with pytest.raises(EtymonError, match="tokenizer"):
        load_tokenizer(model)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{% for i in range(10**9) %}x{% endfor %}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
    ],
)
def test_chat_templates_run_in_a_sandbox(model: Model, template: str) -> None:
    (model.folder / "chat_template.jinja").write_text(template)
    tokenizer = load_tokenizer(model)
    with pytest.raises((jinja2.exceptions.TemplateError, OverflowError)):
        tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
