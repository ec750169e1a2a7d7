"""An adapter shows what it changes and claims no relation that its base would bring."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lineage_models import random_model, train
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaForCausalLM

from etymon.commands.lineage import lineages_of
from etymon.lineage.compare import compare
from etymon.lineage.explain import explain
from etymon.store import Store


def adapter_of(folder: Path, seed: int, **settings: Any) -> tuple[Path, Path]:
    """A base and an adapter that was trained on it a little."""
    base = train(random_model(seed), 20)
    base.save_pretrained(folder / "base")
    torch.manual_seed(seed)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, **settings)
    adapted = train(get_peft_model(base, config), 5)
    adapted.peft_config["default"].base_model_name_or_path = str(folder / "base")
    adapted.save_pretrained(folder / "adapter")
    return folder / "adapter", folder / "base"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return adapter_of(tmp_path_factory.mktemp("adapter"), 1, target_modules=["q_proj", "v_proj"])


def test_an_adapter_is_not_related_to_the_base_it_is_laid_over(pair: tuple[Path, Path]) -> None:
    found = compare(*pair)
    assert found.verdict == "inconclusive"
    assert found.p_value is None
    assert found.identical_tensors == ()
    assert len(found.changes) == 12
    assert {change.rank for change in found.changes} == {4}
    assert all(0 < change.relative < 1 for change in found.changes)
    said = "\n".join(explain(found))
    assert "any base of its shapes takes it" in said
    assert "It fits base and changes there" in said
    assert "its word, not a measurement" in said


def test_the_changes_are_those_of_the_merged_model(tmp_path: Path) -> None:
    adapter, base = adapter_of(tmp_path, 2, target_modules="all-linear")
    adapted = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), adapter)
    adapted.merge_and_unload().save_pretrained(tmp_path / "m")
    alone, merged = compare(adapter, base), compare(tmp_path / "m", base)
    assert merged.verdict == "related"
    measured = {(change.tensor): change.relative for change in merged.changes}
    assert len(alone.changes) == 6 * 7
    for change in alone.changes:
        assert change.relative == pytest.approx(measured[change.tensor], rel=1e-3)


def test_a_base_of_other_shapes_is_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    random_model(3, hidden_size=96).save_pretrained(tmp_path)
    found = compare(pair[0], tmp_path)
    assert found.verdict == "inconclusive"
    assert any("It is no adapter of" in reason for reason in found.reasons)


def test_whole_tensors_are_compared(tmp_path: Path) -> None:
    """PEFT saves an embedding that an adapter changes together with the change: the parent's, bit for bit."""
    adapter, base = adapter_of(tmp_path, 4, target_modules=["embed_tokens"])
    found = compare(adapter, base)
    assert found.verdict == "related"
    assert len(found.identical_tensors) == 1
    assert explain(found)
    random_model(5).save_pretrained(tmp_path / "other")
    assert compare(adapter, tmp_path / "other").verdict == "inconclusive"


def test_on_its_own_base_an_adapter_is_compared_with_others(pair: tuple[Path, Path], tmp_path: Path) -> None:
    adapter, base = pair
    later = train(random_model(1), 30)
    later.save_pretrained(tmp_path / "later")
    random_model(6).save_pretrained(tmp_path / "other")
    found = compare(adapter, tmp_path / "later", base=base)
    assert found.verdict == "related"
    assert "read on the base that it declares" in found.limits[-1]
    assert compare(adapter, tmp_path / "other", base=base).verdict == "independent"


def test_the_command_line_takes_the_declared_base(pair: tuple[Path, Path], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    random_model(6).save_pretrained(tmp_path / "other")
    with_base, with_other = lineages_of(str(pair[0]), [str(pair[1]), str(tmp_path / "other")], store)
    assert with_base.verdict == "inconclusive"
    assert with_other.verdict == "independent"
    assert with_base.model == "adapter"
