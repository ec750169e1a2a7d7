"""Ranks over gloo: the loss curve of one rank, exact resume, too little memory, checkpoints between shards and replicas."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_training import run, run_stage
from row_corpora import corpus_of_documents
from safetensors.torch import load_file
from training import random_documents, run_training, trainee_of

from etymon.errors import EtymonError
from etymon.foundation.facts import describe_model
from etymon.foundation.ranks import Ranks
from etymon.progress import clocks, silent
from etymon.recipe import Train
from etymon.store import Artifact
from etymon.train.prepare import prepare
from etymon.train.stage import TrainExecution, TrainMeaning
from etymon.train.trainee import make_trainee

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow


Job = dict[str, Any]
TWO_ROWS: dict[str, Any] = {"tokens_per_step": 256}
"""Of 128 tokens a step."""
GROWING = {
    "budget": {"tokens": 1500}, "tokens_per_step": 256, "sequence_length": 128, "dtype": "float32", "learning_rate": 1e-3,
    "vocabulary": {"tokens": 20, "embedding_steps": 2}, "validation": {"share": 0.1, "every": 1},
}  # fmt: skip
"""New tokens whose rows are trained alone at first, and a validation after every step."""


def job(
    name: str,
    parallel: str = "replicate",
    *,
    checkpoints: str = "",
    stop: int = 0,
    lora: float | None = None,
    pack_tokens: int = 96,
    small_memory: int | None = None,
    **settings: Any,
) -> Job:
    asked: Job = {"name": name, "checkpoints": checkpoints or name, "parallel": parallel, "stop": stop, "lora": lora}
    asked |= {"pack_tokens": pack_tokens, "small_memory": small_memory}
    return asked | {"settings": {"budget": {"tokens": 900}} | settings}


def stage_job(name: str, corpus: Path, method: str, **execution: Any) -> Job:
    return {"name": name, "corpus": str(corpus), "execution": execution, "settings": GROWING | {"method": method}}


def cut_and_resumed(name: str, parallel: str = "replicate", **changes: Any) -> list[Job]:
    """A whole run; and one that is stopped after five steps, then taken up again."""
    stopped = job("", parallel, checkpoints=f"{name}-cut", stop=5, **changes)
    resumed = job(f"{name}-resumed", parallel, checkpoints=f"{name}-cut", **changes)
    return [job(name, parallel, **changes), stopped, resumed]


def launch(ranks: int, model: Path, work: Path, jobs: list[Job]) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks), "--standalone"]
    arguments = [str(HERE / "rank_training.py"), str(model), str(work), json.dumps(jobs)]
    subprocess.run([*command, *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=200)


@pytest.fixture(scope="module")
def corpus(some_texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return corpus_of_documents(some_texts[:60], tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def work(tiny_llama: Path, corpus: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All trainings of this module, on one to four ranks."""
    folder, objectives = tmp_path_factory.mktemp("ranks"), ("dpo", "orpo", "kto")
    alone = [job("one"), job("lora-one", lora=0.0)]
    for each in [*alone, *(job(f"{objective}-one", objective=objective) for objective in objectives)]:
        run(each, tiny_llama, folder, Ranks())
    for method in ("full", "lora"):
        run_stage(stage_job(f"stage-{method}-one", corpus.folder, method), tiny_llama, folder, Ranks())
    jobs = [*cut_and_resumed("two"), *cut_and_resumed("two-lora", lora=0.1), *cut_and_resumed("two-shard", "shard")]
    jobs += cut_and_resumed("lora-shard", "shard", lora=0.0) + cut_and_resumed("dpo-shard", "shard", objective="dpo")
    jobs += [job(f"{objective}-shard", "shard", objective=objective) for objective in ("orpo", "kto")]
    jobs += [job(f"{objective}-two", objective=objective) for objective in objectives]
    jobs += [job("small-rows", pack_tokens=64, **TWO_ROWS), job("small-memory", pack_tokens=128, small_memory=1, **TWO_ROWS)]
    jobs += [stage_job("stage-full-shard", corpus.folder, "full", parallel="shard", activation_checkpointing=True)]
    jobs += [stage_job("stage-lora-shard", corpus.folder, "lora", parallel="shard")]
    jobs += [job("", "shard", checkpoints="moved-shards", stop=5)]
    launch(2, tiny_llama, folder, jobs)
    for other in ("moved-replicas", "moved-one"):
        shutil.copytree(folder / "moved-shards", folder / other)
    run(job("moved-one"), tiny_llama, folder, Ranks())
    launch(3, tiny_llama, folder, [job("moved-shards", "shard"), job("moved-replicas"), *cut_and_resumed("three")])
    launch(4, tiny_llama, folder, [job("four"), job("four-shard", "shard")])
    return folder


def found(work: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((work / f"{name}.json").read_text()))


def losses(work: Path, name: str) -> list[float]:
    return list(found(work, name)["losses"])


def weights(work: Path, name: str) -> dict[str, torch.Tensor]:
    return dict(torch.load(work / f"{name}.pt"))


def assert_equal_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for parameter, tensor in one.items():
        assert torch.equal(tensor, other[parameter]), parameter


@pytest.mark.parametrize("name", ["two", "two-shard", "three", "four", "four-shard"])
def test_ranks_give_the_loss_curve_of_one(work: Path, name: str) -> None:
    """Steps of 128 tokens make one or two rows: the third and fourth rank have none, and still take part."""
    assert losses(work, name) == pytest.approx(losses(work, "one"), rel=1e-5)


@pytest.mark.parametrize("parallel", ["two", "shard"])
@pytest.mark.parametrize("objective", ["dpo", "orpo", "kto"])
def test_preferences_on_ranks_give_the_loss_curve_of_one(work: Path, objective: str, parallel: str) -> None:
    assert losses(work, f"{objective}-{parallel}") == pytest.approx(losses(work, f"{objective}-one"), rel=1e-5)


def test_sharded_adapters_give_the_loss_curve_of_one(work: Path) -> None:
    assert losses(work, "lora-shard") == pytest.approx(losses(work, "lora-one"), rel=1e-5)


@pytest.mark.parametrize("name", ["two", "two-lora", "two-shard", "lora-shard", "dpo-shard", "three"])
def test_resume_is_exact_on_ranks(work: Path, name: str) -> None:
    assert_equal_weights(weights(work, name), weights(work, f"{name}-resumed"))


def test_rows_are_split_on_all_ranks_where_one_has_too_little_memory(work: Path) -> None:
    assert found(work, "small-memory")["pack_tokens"] == 64
    assert losses(work, "small-memory") == losses(work, "small-rows")
    assert_equal_weights(weights(work, "small-memory"), weights(work, "small-rows"))


@pytest.mark.parametrize("method", ["full", "lora"])
def test_shards_save_the_model_of_one(work: Path, method: str) -> None:
    """With new tokens, trained alone at first, and a validation after every step; an adapter is merged."""

    def trained(name: str) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
        (folder,) = (work / name / "artifacts").glob("train-*")
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        (file,) = (folder / "model").glob("*.safetensors")
        return lines, load_file(file)

    (expected, of_one), (metrics, of_shards) = trained(f"stage-{method}-one"), trained(f"stage-{method}-shard")
    assert len(metrics) > 4
    for line, other in zip(metrics, expected, strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert line["extra"] == pytest.approx(other["extra"], rel=1e-5)
    assert of_shards.keys() == of_one.keys()
    for name, tensor in of_one.items():
        torch.testing.assert_close(of_shards[name], tensor, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("name", ["moved-shards", "moved-replicas", "moved-one"])
def test_checkpoints_of_shards_serve_any_number_of_shards_and_replicas(work: Path, name: str) -> None:
    assert found(work, name)["first"] == 5
    assert losses(work, name) == pytest.approx(losses(work, "one"), rel=1e-5)


def test_checkpoints_of_replicas_are_refused_to_shards(tiny_llama: Path, tmp_path: Path) -> None:
    run_training(trainee_of(tiny_llama), random_documents(), tmp_path / "c")
    sharded = trainee_of(tiny_llama)
    sharded.sharded = True
    with pytest.raises(EtymonError, match=r"step-\d+ was written by ranks that held the whole model") as refusal:
        run_training(sharded, random_documents(), tmp_path / "c")
    assert "execution.parallel: replicate" in str(refusal.value.remedy)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"optimizer": "muon"}, "train.optimizer: muon"),
        ({"validation": {"keep": "best"}}, "train.validation.keep: best"),
        ({"method": "qlora"}, "train.method: qlora"),
    ],
)
def test_what_shards_cannot_do_is_refused(
    tiny_llama: Path, corpus: Artifact, tmp_path: Path, changes: dict[str, Any], key: str
) -> None:
    meaning = TrainMeaning(settings=Train.model_validate(GROWING | changes))
    foundation = describe_model(tiny_llama, name="tiny", source="tiny")
    prepared = prepare(foundation, corpus, meaning, tmp_path, clocks(silent, "train"))
    with pytest.raises(EtymonError, match=f"execution.parallel: shard does not go with {key}"):
        make_trainee(prepared, TrainExecution(parallel="shard"), Ranks(0, 2))
