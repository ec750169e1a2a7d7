"""The main job through the front door: the real command in a process of its own, on a small model and a small corpus."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from etymon.cli.app import app
from etymon.cli.common import console
from running import ETYMON, etymon


@pytest.fixture(scope="module")
def finished(project: Path) -> Path:
    """The project after one undisturbed run."""
    done = etymon(project, "run", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert "small-scratch" in done.stdout
    assert "etymon chat small --beside" in done.stdout
    return project


def test_a_second_run_does_nothing_again(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / ".etymon" / "artifacts").rglob("*")}
    again = etymon(finished, "run", "recipe.yaml")
    assert again.returncode == 0
    assert all(line.rstrip().endswith("ready") for line in again.stdout.splitlines() if line.startswith("✓"))
    assert {path: path.stat().st_mtime_ns for path in (finished / ".etymon" / "artifacts").rglob("*")} == before


def test_board_page_and_standings(finished: Path) -> None:
    standings = json.loads(etymon(finished, "board", "--json").stdout)
    rows = {row["name"]: row for row in standings["rows"]}
    assert set(rows) >= {"small", "small-scratch"}
    shown = etymon(finished, "board").stdout
    page = finished / next(line.split()[-1] for line in shown.splitlines() if line.startswith("Board"))
    assert "small-scratch" in page.read_text("utf-8")


def test_runs_show_verify_rebuild_clean(finished: Path) -> None:
    assert "small" in etymon(finished, "runs").stdout
    shown = etymon(finished, "show", "small").stdout
    assert "/model" in next(line for line in shown.splitlines() if line.startswith("model"))
    assert "bits_per_byte" in next(line for line in shown.splitlines() if line.startswith("heldout of small "))
    assert "from train scratch" in shown
    rows = etymon(finished, "show", "small", "--rows", "2").stdout
    assert rows.count("---") == 2
    assert "⟦<|endoftext|>⟧" in rows
    verified = etymon(finished, "verify")
    assert verified.returncode == 0
    assert "built on, and not checked here" in verified.stdout
    assert "`etymon verify --reproduce RUN`" in verified.stdout
    assert "Indexed" in etymon(finished, "rebuild-catalog").stdout
    etymon(finished, "run", "recipe.yaml", "--set", "train.seed=3")
    cleaned = etymon(finished, "clean", "--yes").stdout
    assert "train-" in cleaned
    assert etymon(finished, "clean", "--yes").stdout.strip() == "Nothing to clean."
    assert etymon(finished, "verify").returncode == 0


def test_a_path_is_shown_in_one_piece_on_a_narrow_terminal(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 40)
    shown = CliRunner().invoke(app, ["show", "small", "-w", str(finished / ".etymon")]).stdout
    assert Path(next(line.split()[1] for line in shown.splitlines() if line.startswith("model"))).is_dir()


def test_every_figure_recomputes_and_every_part_is_made_again(finished: Path) -> None:
    again = etymon(finished, "board", "--recompute", "--run-again")
    assert again.returncode == 0, again.stderr
    assert "figures of the board and its 3 evaluations are the same" in again.stdout
    assert "3 evaluations, done again, gave the same bytes" in again.stdout
    reproduced = etymon(finished, "verify", "--reproduce", "small")
    assert reproduced.returncode == 0, reproduced.stdout + reproduced.stderr
    assert reproduced.stdout.count("made again, is the same byte for byte") >= 7


def test_a_board_that_is_a_file_says_what_a_model_trained_here_has_seen(finished: Path) -> None:
    seen = (finished / "documents" / "003.txt").read_text("utf-8")
    rows = [{"question": seen, "choices": ["yes indeed", "not at all"], "answer": 0}]
    rows += [
        {"question": f"Is {n} a number of things?", "choices": ["it is one", "it is none"], "answer": n % 2} for n in range(9)
    ]
    (finished / "asked.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    (finished / "ours.yaml").write_text("title: Ours\ntasks: [{task: asked.jsonl}]\n", "utf-8")
    added = etymon(finished, "board", "add", "small", "--board", "ours.yaml")
    assert added.returncode == 0, added.stderr
    assert "1 of 10 items share 13 words in a row" in added.stdout
    shown = json.loads(etymon(finished, "board", "--board", "ours.yaml", "--json").stdout)
    (cell,) = (cell for cell in shown["rows"][0]["cells"].values() if cell["contamination"])
    assert cell["contamination"]["overlapping"] == 1
    assert cell["contamination"]["min_k"] is not None


def test_a_figure_that_does_not_follow_from_the_records_is_named(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    artifacts = copy / ".etymon" / "artifacts"
    run = json.loads(next(artifacts.glob("run-*/manifest.json")).read_text("utf-8"))
    folder = artifacts / run["inputs"]["heldout of small"]["label"]
    table = pq.read_table(folder / "records.parquet")
    rows = table.to_pylist()
    rows[0]["logprob"] -= 0.01
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / "records.parquet")
    found = etymon(copy, "board", "--recompute")
    assert found.returncode == 2
    assert folder.name in found.stderr
    assert f"bits_per_byte of item {rows[0]['item']} is" in " ".join(found.stderr.split())


def test_a_longer_budget_continues_the_finished_training(project: Path, finished: Path, tmp_path: Path) -> None:
    longer = etymon(finished, "train", "recipe.yaml", "--set", "train.budget.tokens=16000")
    assert longer.returncode == 0, longer.stderr
    fresh = etymon(finished, "train", "recipe.yaml", "--set", "train.budget.tokens=16000", "-w", str(tmp_path / "fresh"))
    assert fresh.returncode == 0, fresh.stderr
    folders = [Path(run.stdout.split()[-1]) for run in (longer, fresh)]
    first, second = ((finished / folder / "model.safetensors").read_bytes() for folder in folders)
    assert first == second
    metrics = [json.loads(line) for line in (finished / folders[0].parent / "metrics.jsonl").read_text().splitlines()]
    assert [each["step"] for each in metrics] == list(range(1, len(metrics) + 1))


def test_plan_measures_before_anything_runs(finished: Path, tmp_path: Path) -> None:
    planned = etymon(finished, "plan", "recipe.yaml", "-w", str(tmp_path / "planned"), "--set", "train.budget.tokens=200_000")
    assert planned.returncode == 0, planned.stderr
    assert "memory" in planned.stdout
    assert "the budget repeats it" in planned.stdout
    assert not list((tmp_path / "planned" / "artifacts").glob("train-*"))


def test_chat_answers(finished: Path) -> None:
    answer = etymon(finished, "chat", "small", "--prompt", "What is JSON?", "--tokens", "8")
    assert answer.returncode == 0, answer.stderr
    beside = etymon(finished, "chat", "small", "--beside", "small-scratch", "--prompt", "What is JSON?", "--tokens", "8")
    assert beside.returncode == 0, beside.stderr
    assert "small-scratch" in beside.stdout


def test_two_runs_at_once_share_their_artifacts(project: Path, finished: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "ETYMON_CACHE": str(project / "cache"), "OMP_NUM_THREADS": "1"}
    command = [ETYMON, "train", "recipe.yaml", "-w", str(tmp_path / "shared")]
    both = [
        subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert len(list((tmp_path / "shared" / "artifacts").glob("train-*"))) == 1
    assert outputs[0][0].splitlines()[-1] == outputs[1][0].splitlines()[-1]


BAD = {
    "unknown key": (["--set", "trian.seed=1"], "did you mean `train`"),
    "missing path": (["--set", "corpus.sources.0.path=nowhere"], "nowhere"),
    "unknown foundation": (["--set", "foundation=smollm2-135m"], "smollm2-135m-instruct-q4_1"),
    "missing model": (["--set", "foundation=/no/such/model"], "/no/such/model"),
    "unknown task": (["--set", "evaluate.tasks=[heldouts]"], "heldouts"),
    "no network": (["--set", "foundation=hf:nobody/nothing"], "nobody/nothing"),
    "empty corpus": (["--set", "corpus.sources.0.path=empty"], "empty"),
    "control on its own data": (
        ["--set", "baselines=[control]", "--set", "corpus.sources=[{name: own, kind: python-docs, license: PSF-2.0}]"],
        "control_corpus",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_one_message_and_exit_code_2(project: Path, tmp_path: Path, case: str) -> None:
    (project / "empty").mkdir(exist_ok=True)
    (project / "empty" / "nothing.txt").write_text("", "utf-8")
    overrides, expected = BAD[case]
    done = etymon(project, "run", "recipe.yaml", "-w", str(tmp_path / "bad"), *overrides)
    assert done.returncode == 2, done.stdout + done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("etymon: ")
    assert not list((tmp_path / "bad").glob("making/*"))


@pytest.mark.parametrize("damage", ["truncated", "pickle", "remote code"])
def test_hostile_foundations_are_refused(project: Path, tiny_llama: Path, tmp_path: Path, damage: str) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)
    if damage == "truncated":
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "pickle":
        (model / "model.safetensors").rename(model / "pytorch_model.bin")
    else:
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
    done = etymon(project, "run", "recipe.yaml", "-w", str(tmp_path / "w"), "--set", f"foundation={model}")
    assert done.returncode == 2, done.stdout + done.stderr
    assert str(model) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_artifact_is_named_with_what_to_do(project: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / ".etymon", tmp_path / "copy")
    (corpus,) = (tmp_path / "copy" / "artifacts").glob("corpus-*/train.parquet")
    content = bytearray(corpus.read_bytes())
    content[len(content) // 2] ^= 1
    corpus.write_bytes(content)
    done = etymon(project, "run", "recipe.yaml", "-w", str(tmp_path / "copy"))
    assert done.returncode == 2
    assert "train.parquet" in done.stderr
    assert "Remove the folder" in done.stderr
