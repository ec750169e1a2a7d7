"""Work that is done apart: in a child process, in several, or by the workers of a Ray cluster; the corpus is the same."""

import importlib.util
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from corpus_building import prose
from etymon.corpus.build import build_corpus, obtain_in
from etymon.corpus.sources.find import corpus_inputs
from etymon.corpus.stages import apart, signals
from etymon.errors import EtymonError
from etymon.progress import Report, silent
from etymon.recipe import Corpus
from etymon.store import Artifact, Store


def corpus(folder: Path, store: str, listener: Any = silent, data_runner: str = "native") -> Artifact:
    asked = Corpus.model_validate({"sources": [{"name": "docs", "kind": "files", "license": "own", "path": "docs"}]})
    place = Store(folder / store)
    inputs = corpus_inputs(asked, folder, place.digests)
    return build_corpus(asked, inputs, obtain_in(place, listener), folder, data_runner=data_runner)


def write_rows(folder: Path, count: int) -> None:
    folder.mkdir()
    rows = "".join(f'{{"text": "{" ".join(prose(number, 3).split())}"}}\n' for number in range(count))
    (folder / "rows.jsonl").write_text(rows, "utf-8")


@pytest.mark.slow
def test_a_child_tells_its_progress_and_makes_the_same_corpus_though_one_was_killed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = corpus(tmp_path, "here")
    monkeypatch.setattr(apart, "LARGE_BYTES", 0)
    reports: list[Report] = []

    def kill(report: Report) -> None:
        reports.append(report)
        if report.doing == "comparing":
            for child in psutil.Process().children():
                if "etymon.corpus.stages.apart" in " ".join(child.cmdline()):
                    os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(EtymonError, match="ended before its work was done"):
        corpus(tmp_path, "apart", kill)
    again: list[Report] = []
    there = corpus(tmp_path, "apart", again.append)
    assert "measuring" not in {report.doing for report in again}, "signals were finished and are found"
    assert {"measuring", "deciding", "comparing", "writing"} <= {report.doing for report in reports + again}
    assert there.digest == here.digest
    assert there.facts == here.facts


@pytest.mark.slow
def test_several_processes_measure_the_same_though_one_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(tmp_path / "docs", 9_000)
    monkeypatch.setattr(signals, "_ALONE_BYTES", 0)

    def kill(report: Report) -> None:
        if report.doing == "measuring":
            for child in psutil.Process().children(recursive=True):
                if "udf_worker" in " ".join(child.cmdline()):
                    child.kill()

    with pytest.raises(EtymonError, match="A process that measured documents ended"):
        corpus(tmp_path, "several", kill)
    several = corpus(tmp_path, "several")
    assert several.facts["documents_in"] == 9_000
    monkeypatch.undo()
    assert corpus(tmp_path, "alone").digest == several.digest


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_next_attempt_goes_on(tmp_path: Path) -> None:
    write_rows(tmp_path / "docs", 700)
    (tmp_path / "store").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", tmp_path / "store"], check=False).returncode:
        pytest.skip("only root may make a disk so small")
    try:
        with pytest.raises(EtymonError, match="The disk is full"):
            corpus(tmp_path, "store")
        subprocess.run(["mount", "-o", "remount,size=64m", tmp_path / "store"], check=True)
        assert corpus(tmp_path, "store").facts["documents_in"] == 700
    finally:
        subprocess.run(["umount", "--lazy", tmp_path / "store"], check=True)


@pytest.mark.slow
def test_what_the_user_can_mend_is_told_by_the_child_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "LARGE_BYTES", 0)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "short.txt").write_text("Too short.", "utf-8")
    with pytest.raises(EtymonError, match="no document was kept"):
        corpus(tmp_path, "store")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra `cluster`")
def test_ray_makes_the_same_corpus(folder: Path, tmp_path: Path) -> None:
    assert corpus(tmp_path, "ray", data_runner="ray").digest == corpus(tmp_path, "native").digest
