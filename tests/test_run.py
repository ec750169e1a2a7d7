"""The main job through the front door: the real command in a process of its own, on a small model and a small corpus."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from etymon.cli.app import app
from etymon.cli.common import console

ETYMON = str(Path(sys.executable).with_name("etymon"))


@pytest.fixture(scope="module")
def project(tiny_llama: Path, some_texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: documents, and a recipe that trains a small model on them."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "documents").mkdir()
    for number, text in enumerate(some_texts[:120]):
        (folder / "documents" / f"{number:03d}.txt").write_text(text, "utf-8")
    (folder / "recipe.yaml").write_text(
        f"name: small\nfoundation: {tiny_llama}\n"
        "corpus: {sources: [{name: docs, kind: files, license: own, path: documents}]}\n"
        "train: {budget: {tokens: 8000}, tokens_per_step: 512, learning_rate: 3e-3, sequence_length: 256}\n"
        "baselines: [scratch]\nevaluate: {tasks: [heldout]}\nexecution: {checkpoint_minutes: 0.0001}\n",
        "utf-8",
    )
    return folder


def etymon(folder: Path, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ETYMON_CACHE": str(folder / "cache"), "COLUMNS": "110", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [ETYMON, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def weights_digest(workspace: Path) -> str:
    (manifest,) = [
        content
        for path in workspace.glob("artifacts/train-*/manifest.json")
        if (content := json.loads(path.read_text("utf-8")))["meaning"]["start"] == "foundation"
    ]
    digest: str = manifest["files"]["model/model.safetensors"]["sha256"]
    return digest


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
    folder = artifacts / run["facts"]["parts"]["heldout of small"]
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


@pytest.mark.slow
def test_killed_five_times_the_run_ends_with_the_same_weights(project: Path, finished: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    whole = etymon(project, "run", "recipe.yaml", "-w", str(tmp_path / "whole"))
    took = time.monotonic() - begun
    assert whole.returncode == 0
    environment = {**os.environ, "ETYMON_CACHE": str(project / "cache"), "OMP_NUM_THREADS": "1"}
    moments = random.Random(0)
    for _ in range(5):
        process = subprocess.Popen(
            [ETYMON, "run", "recipe.yaml", "-w", str(tmp_path / "cut")],
            cwd=project,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        time.sleep(moments.uniform(0.3, 1.0) * took)
        process.send_signal(signal.SIGKILL)
        process.wait()
    ended = etymon(project, "run", "recipe.yaml", "-w", str(tmp_path / "cut"))
    assert ended.returncode == 0, ended.stderr
    assert weights_digest(tmp_path / "cut") == weights_digest(tmp_path / "whole")
    assert etymon(project, "verify", "-w", str(tmp_path / "cut")).returncode == 0


@pytest.mark.slow
def test_seeds_and_a_control_say_what_the_data_earned(project: Path, some_texts: list[str], tmp_path: Path) -> None:
    (project / "unrelated").mkdir()
    for number, text in enumerate(some_texts[120:]):
        (project / "unrelated" / f"{number:03d}.txt").write_text(text, "utf-8")
    other = "control_corpus={sources: [{name: other, kind: files, license: own, path: PATH}]}"
    asked = [
        "--set",
        "baselines=[scratch, control]",
        "--set",
        "seeds=2",
        "--set",
        "train.budget={epochs: 0.2}",
        "--set",
        "train.tokens_per_step=256",
    ]
    run = lambda path, *more: etymon(  # noqa: E731
        project, "run", "recipe.yaml", "-w", str(tmp_path / "w"), *asked, "--set", other.replace("PATH", path), *more
    )
    refused = run("documents")
    assert refused.returncode == 2
    assert "not unrelated" in refused.stderr
    done = run("unrelated")
    assert done.returncode == 0, done.stderr
    assert "lineage and evidence are those of small, the first of 2 seeds" in " ".join(done.stdout.split())

    trained = {}
    for path in (tmp_path / "w" / "artifacts").glob("train-*/manifest.json"):
        manifest = json.loads(path.read_text("utf-8"))
        key = (manifest["inputs"]["corpus"]["label"], manifest["meaning"]["start"], manifest["meaning"]["settings"]["seed"])
        trained[key] = manifest
    assert len(trained) == 5, "two seeds of the derivative and of the control, one from a random start"
    corpora = {corpus for corpus, start, _ in trained if start == "random"}
    derivative = [manifest for (corpus, start, _), manifest in trained.items() if corpus in corpora and start == "foundation"]
    control = [manifest for (corpus, _, _), manifest in trained.items() if corpus not in corpora]
    grown = [*derivative, *control]
    assert len({manifest["files"]["model/model.safetensors"]["sha256"] for manifest in grown}) == 4
    assert "have the same weights" not in done.stdout
    first = next(manifest for manifest in derivative if manifest["meaning"]["settings"]["seed"] == 0)
    assert {m["meaning"]["settings"]["budget"]["tokens"] for m in control} == {first["facts"]["tokens"]}

    standings = json.loads(etymon(project, "board", "--json", "-w", str(tmp_path / "w")).stdout)
    rows = {row["name"]: row for row in standings["rows"]}
    assert {name: row["seeds"] for name, row in rows.items() if name.startswith("small")} == {
        "small": 2,
        "small-control": 2,
        "small-scratch": 1,
    }
    (cell,) = rows["small"]["cells"].values()
    scores = [each["value"] for each in cell["training"]["scores"]]
    assert cell["score"]["value"] == pytest.approx(sum(scores) / 2)
    assert [each["name"] for each in cell["training"]["scores"]] == ["small", "small-seed1"]
    assert cell["earned_lacks"] == "three seeds, 2 so far"
    assert rows["small-control"]["lineage"] is not None
    answer = etymon(
        project, "chat", "small-control-seed1", "--prompt", "What is JSON?", "--tokens", "2", "-w", str(tmp_path / "w")
    )
    assert answer.returncode == 0, answer.stderr
    assert etymon(project, "verify", "-w", str(tmp_path / "w")).returncode == 0
    cleaned = etymon(project, "clean", "--yes", "-w", str(tmp_path / "w")).stdout
    unused = sorted(line.split()[2].rpartition("-")[0] for line in cleaned.splitlines() if "no run refers to it" in line)
    assert unused == ["corpus", "documents", "signals"], "what was made for the corpus that was refused, nothing of the run"

    third = run("unrelated", "--set", "seeds=3", "--set", "baselines=[control]")
    assert third.returncode == 0, third.stderr
    standings = json.loads(etymon(project, "board", "--json", "-w", str(tmp_path / "w")).stdout)
    (cell,) = next(row for row in standings["rows"] if row["name"] == "small")["cells"].values()
    assert cell["earned"]["control"] == "small-control"
    assert cell["earned"]["difference"]["low"] < cell["earned"]["difference"]["value"]


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


@pytest.mark.slow
def test_thirty_pdfs_become_a_chat_without_editing_a_file(finished: Path, some_texts: list[str], tmp_path: Path) -> None:
    from fpdf import FPDF

    papers = tmp_path / "papers"
    papers.mkdir()
    for number in range(30):
        pdf = FPDF()
        pdf.add_page()
        pdf.set_font("Helvetica", size=11)
        text = "\n\n".join(some_texts[number::30])
        pdf.multi_cell(0, 5, text.encode("latin-1", "replace").decode("latin-1"))
        pdf.output(str(papers / f"paper-{number:02d}.pdf"))
    environment = {"ETYMON_CACHE": os.environ.get("ETYMON_CACHE", "")}
    run = lambda *a: subprocess.run(  # noqa: E731
        [ETYMON, *a],
        cwd=tmp_path,
        env={**os.environ, **{k: v for k, v in environment.items() if v}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run("new", "papers").returncode == 0
    assert (tmp_path / "papers.yaml").exists()
    small = ["--set", "train.budget.tokens=600", "--set", "train.tokens_per_step=300", "--set", "evaluate.tasks=[heldout]"]
    done = run("run", "papers.yaml", *small)
    assert done.returncode == 0, done.stderr
    answer = run("chat", "papers", "--prompt", "What is JSON?", "--tokens", "12")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()
