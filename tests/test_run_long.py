"""The main job where it takes longest: killed again and again, with seeds and a control, from a folder of PDF files."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from running import ETYMON, etymon, weights_digest


@pytest.mark.slow
def test_killed_five_times_the_run_ends_with_the_same_weights(project: Path, tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_thirty_pdfs_become_a_chat_without_editing_a_file(some_texts: list[str], tmp_path: Path) -> None:
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
