"""Which files of a folder or pattern are a source's: links, odd names, and what is passed over is told."""

import errno
import os
from contextlib import nullcontext
from pathlib import Path

import pyarrow
import pytest

from etymon.corpus.read.found import raise_if_not_of_the_file
from etymon.corpus.sources.find import corpus_inputs, printable
from etymon.corpus.sources.local import find_local
from etymon.errors import EtymonError
from etymon.recipe import Corpus
from etymon.store import DigestCache


def given(path: Path) -> Corpus:
    source = {"name": "docs", "kind": "files", "license": "own", "path": str(path)}
    return Corpus.model_validate({"sources": [source]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, a link between them, and links out of the folder, to a folder and to nothing."""
    made = tmp_path / "docs"
    (made / "sub").mkdir(parents=True)
    (made / "a.txt").write_text("one")
    (made / "sub" / "b.txt").write_text("two")
    (made / "inside.txt").symlink_to("sub/b.txt")
    (tmp_path / "secret.txt").write_text("secret")
    (made / "outside.txt").symlink_to("../secret.txt")
    (made / "chain.txt").symlink_to("outside.txt")
    (made / "folder").symlink_to("sub")
    (made / "around").symlink_to(".")
    (made / "broken.txt").symlink_to("nothing")
    os.mkfifo(made / "pipe.txt")
    return made


WHY = {
    "outside.txt": "linked-outside", "chain.txt": "linked-outside", "folder": "linked-folder", "around": "linked-folder",
    "broken.txt": "broken-link", "pipe.txt": "not-a-file",
}  # fmt: skip


def test_links_out_of_a_folder_are_told_and_not_read(folder: Path) -> None:
    found = find_local(folder)
    assert [name for name, _ in found.files] == ["a.txt", "inside.txt", "sub/b.txt"]
    assert {each.unit: each.reason for each in found.skipped} == WHY


def test_a_pattern_follows_no_other_links_than_a_folder(folder: Path) -> None:
    found = find_local(folder / "**" / "*.txt")
    assert [name for name, _ in found.files] == ["a.txt", "inside.txt", "sub/b.txt"]
    told = {each.unit: each.reason for each in found.skipped}
    assert told == WHY


def names(path: Path) -> list[str]:
    return [name for name, _ in find_local(path).files]


def test_links_in_a_circle_are_not_gone_round(folder: Path) -> None:
    for number in range(3):
        (folder / "sub" / f"again-{number}").symlink_to(".")
    assert names(folder / "**" / "*.txt") == ["a.txt", "inside.txt", "sub/b.txt"]


def test_a_pattern_goes_where_it_says(tmp_path: Path) -> None:
    for name in ("a/one.txt", "a/b/two.txt", "b/c/d/three.txt", "b/c/d/.four.txt", ".e/five.txt", "a/six.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    assert names(tmp_path / "*" / "*.txt") == ["a/one.txt"]
    assert names(tmp_path / "b" / "**" / "d" / "*.txt") == ["c/d/three.txt"]
    assert names(tmp_path / "*" / "**") == ["a/b/two.txt", "a/one.txt", "a/six.md", "b/c/d/three.txt"]
    assert names(tmp_path / "[ab]" / "**.txt") == ["a/one.txt"]
    assert names(tmp_path / ".e" / "*.txt") == ["five.txt"]
    assert names(tmp_path / ".[a-f]" / "*.txt") == [".e/five.txt"]
    assert find_local(tmp_path / "**" / "*.txt").hidden == 2
    with pytest.raises(EtymonError, match="No file matches"):
        find_local(tmp_path / "*.txt")


def test_folders_may_have_signs_of_patterns_in_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "notes [2024] {a,b}?"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "a.txt").write_text("text")
    assert names(folder / "docs" / "*.txt") == ["a.txt"]
    assert names(folder / "*" / "a.txt") == ["docs/a.txt"]
    with pytest.raises(EtymonError, match="There is no file or folder"):
        find_local(folder / "missing.txt")


def test_a_file_that_is_named_is_read_wherever_it_leads(folder: Path) -> None:
    assert [name for name, _ in find_local(folder / "outside.txt").files] == ["outside.txt"]
    (folder.parent / "link").symlink_to(folder)
    assert len(find_local(folder.parent / "link").files) == 3


def test_a_folder_of_links_alone_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "docs" / "a.txt").symlink_to("../a.txt")
    with pytest.raises(EtymonError, match=r"linked-outside(.|\n)*copy the files"):
        corpus_inputs(given(tmp_path / "docs"), tmp_path, DigestCache(tmp_path / "digests"))


def test_names_that_cannot_be_shown_are_escaped_and_stay_apart(tmp_path: Path) -> None:
    names = [b"a\nb.txt", b"a\\nb.txt", b"\x1b[31mred.txt", b"\xff.txt", "größe 學.txt".encode()]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_text("text")
    (source,) = corpus_inputs(given(tmp_path), tmp_path, DigestCache(tmp_path / ".digests")).values()
    units = [unit for unit, _ in source.files]
    assert sorted(units) == sorted([r"a\nb.txt", r"a\\nb.txt", r"\x1b[31mred.txt", r"\udcff.txt", "größe 學.txt"])
    assert len([document for file in source.read("text", {}) for document in file]) == len(names)
    assert printable("plain name.txt") == "plain name.txt"


def test_a_file_that_changes_before_it_is_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "one"}\n')
    (source,) = corpus_inputs(given(tmp_path / "rows.jsonl"), tmp_path, DigestCache(tmp_path / ".digests")).values()
    assert sum(1 for file in source.read("text", {}) for _ in file) == 1
    with (tmp_path / "rows.jsonl").open("a") as growing:
        growing.write('{"text": "two"}\n')
    with pytest.raises(EtymonError, match=r"rows\.jsonl changed while it was read"):
        list(next(source.read("text", {})))
    (tmp_path / "rows.jsonl").unlink()
    with pytest.raises(EtymonError, match=r"rows\.jsonl cannot be read: No such file"):
        list(next(source.read("text", {})))


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (MemoryError(), True), (OSError(errno.EIO, "Input/output error"), True), (pyarrow.ArrowMemoryError(), True),
        (OSError("Couldn't deserialize thrift"), False), (OSError(errno.EINVAL, "Invalid argument"), False),
        (ValueError(), False),
    ],
)  # fmt: skip
def test_faults_of_the_machine_are_no_reasons_of_a_file(error: Exception, raised: bool) -> None:
    with pytest.raises(type(error)) if raised else nullcontext():
        raise_if_not_of_the_file(error)


def test_the_digest_follows_content_and_what_is_passed_over(folder: Path) -> None:
    def digest() -> str:
        digests = DigestCache(folder.parent / "digests")
        return corpus_inputs(given(folder), folder, digests)["docs"].digest

    first = digest()
    assert digest() == first
    (folder / ".hidden").write_text("x")
    assert digest() == first
    (folder / "broken.txt").unlink()
    second = digest()
    assert second != first
    (folder / "a.txt").write_text("three")
    assert digest() not in (first, second)
