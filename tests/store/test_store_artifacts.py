import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from store_stages import Pace, Words, words_stage, write_parts

from etymon.errors import EtymonError
from etymon.progress import Report
from etymon.store import Artifact, Draft, Stage, Store, load_artifact
from etymon.store.artifact import MANIFEST

PROGRAM = Path(__file__).with_name("store_stages.py")


def start(root: Path, announce: Path, seconds: float) -> "subprocess.Popen[str]":
    command = [sys.executable, str(PROGRAM), str(root), str(announce), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines()) if path.exists() else 0


def obtain(store: Store, **meaning: object) -> tuple[Artifact, bool]:
    return store.obtain(words_stage, {}, Words(**meaning), Pace())  # type: ignore[arg-type]


def test_an_artifact_is_made_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, reused = obtain(store)
    again, found = obtain(Store(tmp_path))
    assert (reused, found) == (False, True)
    assert first == again
    assert first.damage() == []
    assert sorted(first.manifest.files)[0] == "group-0/part-0.txt"


def test_the_meaning_decides_the_address_and_the_execution_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    plain, _ = obtain(store)
    other, _ = obtain(store, text="other")
    slow, reused = store.obtain(words_stage, {}, Words(), Pace(seconds_each=0.001))
    raised, _ = store.obtain(Stage("words", 2, write_parts, Words, Pace), {}, Words(), Pace())
    assert len({plain.name, other.name, raised.name}) == 3
    assert slow.name == plain.name
    assert reused
    assert raised.digest == plain.digest


def test_a_log_is_kept_and_is_no_part_of_the_digest(tmp_path: Path) -> None:
    def build(draft: Draft[Words, Pace]) -> None:
        (draft.folder / "result").write_text(draft.meaning.text)
        (draft.folder / "times").write_text(str(time.time_ns()))
        draft.logs.add("times")

    stage = Stage("logged", 1, build, Words, Pace)
    made = [Store(tmp_path / name).obtain(stage, {}, Words(), Pace())[0] for name in ("a", "b")]
    assert made[0].digest == made[1].digest
    assert made[0].manifest.files["times"] != made[1].manifest.files["times"]
    made[0].file("times").write_text("0")
    assert "times" in made[0].damage()[0]


@pytest.mark.parametrize("after", [1, 9, 17])
def test_killed_in_the_middle_nothing_half_written_is_seen(tmp_path: Path, after: int) -> None:
    root, announce = tmp_path / "store", tmp_path / "announce"
    child = start(root, announce, 0.05)
    wait_for(lambda: lines(announce) >= after)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    store = Store(root)
    assert lines(announce) < 20, "killed too late to show anything"
    assert list(store.artifacts()) == []
    assert store.catalog.rows() == []
    artifact, reused = obtain(store)
    assert not reused
    assert artifact.damage() == []
    assert len(artifact.manifest.files) == 20
    assert list((root / "making").iterdir()) == []


def test_killed_before_it_was_indexed_an_artifact_is_indexed_when_it_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artifact, _ = obtain(store)
    store.catalog.remove(artifact.name)
    assert obtain(store) == (artifact, True)
    assert [row.name for row in store.catalog.rows()] == [artifact.name]


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    def build(draft: Draft[Words, Pace]) -> None:
        write_parts(draft)
        raise EtymonError("The column is absent.")

    with pytest.raises(EtymonError, match="column"):
        Store(tmp_path).obtain(Stage("words", 1, build, Words, Pace), {}, Words(), Pace())
    assert list(Store(tmp_path).artifacts()) == []
    assert list((tmp_path / "making").iterdir()) == []


def test_two_processes_build_once_and_share(tmp_path: Path) -> None:
    root, announce = tmp_path / "store", tmp_path / "announce"
    children = [start(root, announce, 0.05) for _ in range(3)]
    printed = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], printed
    names, reused = zip(*(out.split() for out, _ in printed), strict=True)
    assert len(set(names)) == 1
    assert sorted(reused) == ["False", "True", "True"]
    assert lines(announce) == 20
    assert len(Store(root).catalog.rows()) == 1


def test_who_waits_is_told_and_takes_over_from_the_killed(tmp_path: Path) -> None:
    root, announce = tmp_path / "store", tmp_path / "announce"
    child = start(root, announce, 0.2)
    wait_for(lambda: lines(announce) >= 1)
    heard: list[Report] = []

    def listen(report: Report) -> None:
        heard.append(report)
        if report.doing.startswith("waiting") and child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            child.communicate()

    artifact, reused = Store(root).obtain(words_stage, {}, Words(), Pace(), listen)
    assert any(report.doing == f"waiting for another run that is making {artifact.name}" for report in heard)
    assert not reused
    assert artifact.damage() == []


def test_a_damaged_file_is_named_with_a_remedy(tmp_path: Path) -> None:
    artifact, _ = obtain(Store(tmp_path))
    path = artifact.file("group-1/part-1.txt")
    path.write_bytes(b"X" + path.read_bytes()[1:])
    with pytest.raises(EtymonError, match=f"{artifact.name}: group-1/part-1.txt has other content") as refused:
        obtain(Store(tmp_path))
    assert str(artifact.folder) in refused.value.remedy
    shutil.rmtree(artifact.folder)
    assert obtain(Store(tmp_path))[0].damage() == []


@pytest.mark.parametrize(
    ("harm", "words"), [(Path.unlink, "is missing"), (lambda path: os.truncate(path, 5), "has 5 bytes, not")]
)
def test_a_missing_or_cut_file_is_named(tmp_path: Path, harm: Callable[[Path], None], words: str) -> None:
    artifact, _ = obtain(Store(tmp_path))
    harm(artifact.file("group-1/part-1.txt"))
    with pytest.raises(EtymonError, match=f"group-1/part-1.txt {words}"):
        obtain(Store(tmp_path))


@pytest.mark.parametrize("content", [None, "", "{", '{"stage": 3}', "[" * 5000])
def test_a_damaged_manifest_is_said_before_work_is_done(tmp_path: Path, content: str | None) -> None:
    artifact, _ = obtain(Store(tmp_path))
    path = artifact.folder / MANIFEST
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(EtymonError, match=MANIFEST) as refused:
        obtain(Store(tmp_path))
    assert "remove" in refused.value.remedy.lower()


def test_names_that_would_break_a_url_are_only_names(tmp_path: Path) -> None:
    root = tmp_path / "what? 100% #1 & more"
    artifact, _ = obtain(Store(root))
    assert [row.name for row in Store(root).catalog.rows()] == [artifact.name]
    assert (root / "catalog.db").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [root.name]


def test_scratch_outlives_a_kill_and_is_shared_by_key(tmp_path: Path) -> None:
    def build(draft: Draft[Words, Pace]) -> None:
        folder = draft.scratch("the same")
        assert folder == draft.scratch("the same") != draft.scratch("another")
        begun = (folder / "checkpoint").exists()
        (folder / "checkpoint").write_text("half")
        if not begun:
            raise KeyboardInterrupt
        (draft.folder / "done").write_text("whole")

    stage = Stage("resumed", 1, build, Words, Pace)
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).obtain(stage, {}, Words(), Pace())
    assert Store(tmp_path).obtain(stage, {}, Words(), Pace())[0].file("done").read_text() == "whole"


def test_digests_need_no_cache_that_can_be_written(tmp_path: Path) -> None:
    artifact, _ = obtain(Store(tmp_path))
    (tmp_path / "digests.jsonl").unlink()
    (tmp_path / "digests.jsonl").mkdir()
    (tmp_path / "digests.jsonl").rmdir()
    (tmp_path / "digests.jsonl").symlink_to(tmp_path / "no" / "such" / "file")
    assert obtain(Store(tmp_path)) == (artifact, True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _text(folder: Path) -> None:
    (folder / "big.txt").write_text("x" * 5_000_000)


def _safetensors(folder: Path) -> None:
    save_file({"weight": torch.zeros(2_000_000)}, folder / "big.safetensors")


def _torch(folder: Path) -> None:
    torch.save(torch.randn(2_000_000), folder / "big.pt")


def _parquet(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    noise = np.random.default_rng(0).standard_normal(2_000_000)
    pyarrow.parquet.write_table(pyarrow.table({"noise": noise}), folder / "big.parquet")


@pytest.mark.parametrize("write", [_text, _safetensors, _torch, _parquet])
def test_a_full_disk_is_said_plainly_and_loses_nothing(small_disk: Path, write: Callable[[Path], None]) -> None:
    store = Store(small_disk / "store")
    before, _ = obtain(store)

    def build(draft: Draft[Words, Pace]) -> None:
        write(draft.folder)

    stage = Stage("big", 1, build, Words, Pace)
    with pytest.raises(EtymonError, match="The disk is full") as refused:
        store.obtain(stage, {}, Words(), Pace())
    assert "Free some space" in refused.value.remedy
    del refused  # its traceback keeps the writer, and so the deleted file, open
    assert list(store.artifacts()) == [before]
    assert before.damage() == []
    assert list((store.root / "making").iterdir()) == []
    assert obtain(store, text="small enough", parts=3)[0].damage() == []


def test_a_disk_full_from_the_start_is_said_plainly(small_disk: Path) -> None:
    with suppress(OSError):
        (small_disk / "ballast").write_bytes(b"x" * 4_000_000)
    with pytest.raises(EtymonError, match="The disk is full"):
        obtain(Store(small_disk / "store"))
    (small_disk / "ballast").unlink()
    assert obtain(Store(small_disk / "store"))[0].damage() == []


def test_a_store_that_cannot_be_one_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EtymonError, match="is a file"):
        Store(tmp_path / "file")
    with pytest.raises(EtymonError, match="Nothing can be written into /proc/none/locks"):
        obtain(Store(Path("/proc/none")))


def test_a_replay_does_the_work_again_and_names_what_differs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made, _ = obtain(store)
    assert words_stage.replay(made, {}) == []

    def less(draft: Draft[Words, Pace]) -> None:
        write_parts(draft)
        (draft.folder / "group-0" / "part-0.txt").write_text("other", "utf-8")
        (draft.folder / "more.txt").write_text("more", "utf-8")
        (draft.folder / "when.txt").write_text("now", "utf-8")
        draft.logs.add("when.txt")

    def cleaned(draft: Draft[Words, Pace]) -> None:
        (working,) = store.folders("making")
        assert not store.remove_folder(working), "somebody is using it"
        write_parts(draft)

    assert Stage("words", words_stage.version, cleaned, Words, Pace).replay(made, {}) == []
    changed = Stage("words", words_stage.version, less, Words, Pace)
    assert changed.replay(made, {}) == ["group-0/part-0.txt", "more.txt"]
    assert list((tmp_path / "making").iterdir()) == []
    assert made.damage() == []


def test_a_replay_needs_the_same_version_and_the_same_inputs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made, _ = obtain(store)
    with pytest.raises(EtymonError, match="version 1 of the stage words; this is version 2"):
        Stage("words", 2, write_parts, Words, Pace).replay(made, {})
    other, _ = obtain(store, text="other")
    built, _ = store.obtain(Stage("onto", 1, write_parts, Words, Pace), {"first": made}, Words(), Pace())
    again = Stage("onto", 1, write_parts, Words, Pace)
    assert again.replay(built, {"first": made}) == []
    for inputs in ({}, {"first": other}):
        with pytest.raises(EtymonError, match=f"was made from {made.name} .first"):
            again.replay(built, inputs)


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    def build(draft: Draft[Words, Pace]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Store(tmp_path).obtain(Stage("bug", 1, build, Words, Pace), {}, Words(), Pace())


def test_no_artifact_here_is_said(tmp_path: Path) -> None:
    with pytest.raises(EtymonError, match="is not an artifact"):
        load_artifact(tmp_path)
