"""A run looks for its tasks' items in its corpus, and its board tells what it found."""

import json
from pathlib import Path

import pytest

from etymon.board.stage import read_standings
from etymon.commands.reproduce import reproduce
from etymon.job.job import Job
from etymon.recipe import load_recipe
from etymon.run import run
from etymon.store import Store


@pytest.mark.slow
def test_a_runs_board_tells_which_items_are_in_its_corpus(tiny_llama: Path, some_texts: list[str], tmp_path: Path):
    (tmp_path / "documents").mkdir()
    for number, text in enumerate(some_texts[:90]):
        (tmp_path / "documents" / f"{number:03d}.txt").write_text(text, "utf-8")
    learned = [text for text in some_texts[:90] if len(text.split()) > 20]
    foreign = [f"What has item {n} to say of a river that nobody in this town has ever seen or heard of?" for n in range(9)]
    asked = [" ".join(text.split()[:20]) for text in learned[:12]] + foreign
    rows = [{"question": question, "choices": ["yes", "no"], "answer": n % 2} for n, question in enumerate(asked)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (tmp_path / "keep.yaml").write_text("name: keeps\nevaluation_items: keep\n", "utf-8")
    (tmp_path / "recipe.yaml").write_text(
        f"name: small\nfoundation: {tiny_llama}\n"
        "corpus: {sources: [{name: docs, kind: files, license: own, path: documents}],\n"
        "  heldout: {share: 0.2}, data_policy: keep.yaml}\n"
        "train: {budget: {tokens: 2000}, tokens_per_step: 512, learning_rate: 3e-3, sequence_length: 256}\n"
        "baselines: [scratch]\nevaluate: {tasks: [heldout, items.jsonl]}\n",
        "utf-8",
    )
    lines: list[str] = []
    job = Job(
        load_recipe(tmp_path / "recipe.yaml"),
        tmp_path,
        Store(tmp_path / "store"),
        on_line=lambda line: lines.append(line.stage),
    )
    outcome = run(job)
    cells = {row.name: {key: cell.contamination for key, cell in row.cells.items()} for row in outcome.standings.rows}
    column = next(column for column in outcome.standings.columns if column.task == "items" and column.main)
    seen, base = cells["small"][column.key], cells[outcome.foundation.name][column.key]
    assert seen
    assert base
    assert 6 <= seen.overlapping <= 12, "some of the twelve lie in documents that were held out"
    assert seen.items == 21
    assert seen.clean_score is not None
    assert seen.likelihood_gain is not None
    assert (base.overlapping, base.likelihood_gain) == (None, None)
    assert base.min_k is not None
    assert cells["small-scratch"][column.key].likelihood_gain is None
    heldout = next(column for column in outcome.standings.columns if column.task == "heldout")
    assert cells["small"][heldout.key] is None
    assert "items in corpus" in lines
    assert read_standings(job.made["board"].folder) == outcome.standings
    found = [part for part in job.made.values() if part.manifest.stage in ("overlap", "familiarity")]
    assert len(found) == 4
    assert all(reproduce(part, job.store) == [] for part in found), "made again, byte for byte"
