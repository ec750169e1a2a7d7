"""The corpus as built: everything accounted for, nothing held out was seen, the same inputs give the same bytes."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from corpus_building import Build, Built, prose
from etymon.errors import EtymonError
from etymon.progress import Report
from etymon.text.ngrams import jaccard, shingles
from etymon.text.normalise import comparable, folded


def leaks(built: Built, similarity: float = 0.7) -> list[tuple[str, str, float]]:
    """Pairs of a held-out and a training document that are near duplicates, by comparing all that share a 5-gram."""
    heldout = {row["unit"] + row["id"]: shingles(comparable(row["text"]), 5) for row in built.rows("heldout")}
    holders: dict[str, list[str]] = {}
    for name, grams in heldout.items():
        for gram in grams:
            holders.setdefault(gram, []).append(name)
    found = []
    for row in built.rows("train"):
        grams = shingles(comparable(row["text"]), 5)
        for name in {name for gram in grams for name in holders.get(gram, [])}:
            if (alike := jaccard(grams, heldout[name])) >= similarity:
                found.append((name, row["unit"], alike))
    return found


def accounted(built: Built) -> None:
    """The invariants of every corpus."""
    facts, train, heldout, drops = built.facts, built.rows("train"), built.rows("heldout"), built.rows("drops")
    assert facts["documents_in"] == len(train) + len(heldout) + len(drops)
    assert (facts["documents_train"], facts["documents_heldout"]) == (len(train), len(heldout))
    assert facts["characters_train"] == sum(len(row["text"]) for row in train)
    assert facts["characters_heldout"] == sum(len(row["text"]) for row in heldout)
    assert facts["drops"] == Counter(row["reason"] for row in drops)
    assert facts["sources"] == Counter(row["source"] for row in train + heldout)
    assert sum(facts["languages"].values()) == len(train) + len(heldout)
    ids = [row["id"] for row in train + heldout]
    assert len(set(ids)) == len(ids)
    for rows in (train, heldout, drops):
        assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert not {(r["source"], r["unit"]) for r in train} & {(r["source"], r["unit"]) for r in heldout}
    assert not {folded(r["text"]) for r in train} & {folded(r["text"]) for r in heldout}
    assert facts["heldout_units"] == len({(r["source"], r["unit"]) for r in heldout}) > 0
    assert set(ids) <= {row["id"] for row in built.rows("signals")}
    assert leaks(built) == []


def test_a_folder_of_notes(build: Build, folder: Path) -> None:
    built = build({"path": "docs"})
    accounted(built)
    assert (built.facts["documents_train"], built.facts["heldout_units"]) == (18, 2)
    assert built.facts["licenses"] == ["own"]
    assert built.facts["languages"] == {"en": 20}
    assert not built.facts["sectioned"]
    assert build({"path": "docs"}).reused


def test_the_same_files_give_the_same_bytes_and_a_changed_one_another_corpus(build: Build, folder: Path) -> None:
    first = build({"path": "docs"})
    elsewhere = build({"path": "docs"}, store="other")
    assert elsewhere.artifact.digest == first.artifact.digest
    assert elsewhere.artifact.manifest.address == first.artifact.manifest.address
    moved = folder.rename(folder.with_name("moved"))
    assert build({"path": "moved"}).reused, "the path is no part of the meaning"
    (moved / "note-03.txt").write_text(prose(99), "utf-8")
    changed = build({"path": "moved"})
    assert changed.artifact.manifest.address != first.artifact.manifest.address
    assert changed.artifact.digest != first.artifact.digest


def test_seed_and_share_decide_what_is_held_out(build: Build, folder: Path) -> None:
    def units(built: Built) -> set[str]:
        return {row["unit"] for row in built.rows("heldout")}

    drawn = [units(build({"path": "docs"}, seed=seed)) for seed in range(4)]
    assert len({frozenset(each) for each in drawn}) > 1
    assert len(units(build({"path": "docs"}, heldout={"share": 0.5}))) == 10


def test_every_drop_has_a_reason_and_can_be_listed(build: Build, folder: Path) -> None:
    (folder / "short.txt").write_text("Too short to learn from.", "utf-8")
    (folder / "copy.txt").write_text(prose(0).upper().replace(" ", "  "), "utf-8")
    (folder / "symbols.md").write_text("## -- 12 34 :: 56 %% 78 || 90 ++ 11 == 22 -- 33 44 55 one 66 77", "utf-8")
    (folder / "loop.txt").write_text("buy now and save more than ever before today " * 30, "utf-8")
    (folder / "blob.txt").write_text(" ".join("a9" * 40 for _ in range(15)), "utf-8")
    (folder / "empty.txt").write_text("", "utf-8")
    (folder / "blank.txt").write_text(" \n\n ", "utf-8")
    (folder / "latin1.txt").write_bytes("Größe".encode("latin-1") * 20)
    (folder / "photo.png").write_bytes(b"\x89PNG")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    (folder / ".hidden.txt").write_text(prose(50), "utf-8")
    (folder / ".git").mkdir()
    (folder / "gone.txt").symlink_to("nowhere.txt")
    (folder / "elsewhere").symlink_to(folder.parent, target_is_directory=True)
    built = build({"path": "docs"})
    accounted(built)
    assert built.facts["hidden"] == 2
    assert built.facts["drops"] == {
        "empty": 2,
        "broken-link": 1,
        "exact-duplicate": 1,
        "linked-folder": 1,
        "mostly-symbols": 1,
        "not-utf-8": 1,
        "overlong-words": 1,
        "repeated-phrases": 1,
        "too-few-words": 1,
        "unreadable-pdf": 1,
        "unsupported-type.png": 1,
    }
    (copy,) = built.dropped("exact-duplicate")
    assert copy["unit"] == "note-00.txt", "copy.txt comes first in the folder and survives"
    assert copy["characters"] == len(prose(0))
    assert copy["excerpt"] == prose(0)[:200]
    assert "byte 2" in built.dropped("not-utf-8")[0]["excerpt"]


def test_near_duplicates_are_removed_for_the_first_of_them(build: Build, folder: Path) -> None:
    for number in range(0, 20, 2):  # half of the files have two revisions
        for revision in ("a", "b"):
            (folder / f"note-{number:02}{revision}.txt").write_text(f"Revision {revision}. {prose(number)}", "utf-8")
    built = build({"path": "docs"})
    accounted(built)
    assert {row["unit"] for row in built.documents} == {f"note-{number:02}.txt" for number in range(20)}
    assert {row["cluster_size"] for row in built.documents} == {1, 3}
    assert built.facts["duplicate_clusters"] == 10
    decided = {row["unit"]: row for row in built.rows("decisions")}
    assert decided["note-04b.txt"]["reason"] == "near-duplicate"
    assert decided["note-04b.txt"]["detail"] == decided["note-04.txt"]["id"]


def test_where_near_duplicates_are_kept_they_stay_on_one_side(build: Build, folder: Path, tmp_path: Path) -> None:
    for number in range(0, 20, 2):
        (folder / f"note-{number:02}a.txt").write_text(f"Revision a. {prose(number)}", "utf-8")
    near = "{similarity: 0.7, ngram: 5, bands: 28, rows: 4, drop: false}"
    (tmp_path / "policy.yaml").write_text(f"name: keeps\nnear_duplicates: {near}\n", "utf-8")
    for seed in range(3):
        built = build({"path": "docs"}, seed=seed, data_policy="policy.yaml")
        accounted(built)
        assert len(built.documents) == 30
        assert built.facts["linked_units"] == 20


def test_rows_are_units(build: Build, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"text": "{prose(n, 4)}"}}\n' for n in range(40)), "utf-8")
    built = build({"path": "rows.jsonl"})
    accounted(built)
    assert built.facts["heldout_units"] == 4
    assert {row["unit"] for row in built.documents} == {f"rows.jsonl#{n}" for n in range(1, 41)}


def test_one_big_file_is_cut_into_sections(build: Build, tmp_path: Path) -> None:
    book = prose(7, 400)
    (tmp_path / "book.txt").write_text(book, "utf-8")
    built = build({"path": "book.txt"})
    accounted(built)
    assert built.facts["sectioned"]
    assert built.facts["heldout_units"] >= 5
    sections = sorted(built.documents, key=lambda row: int(row["unit"].partition("#")[2]))
    assert "".join("".join(row["text"].split()) for row in sections) == "".join(book.split()), "no character is lost"


def test_few_files_are_cut_too_and_one_without_text_is_counted(build: Build, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"volume{number}.md").write_text(prose(number, 100), "utf-8")
    (tmp_path / "nothing.md").write_bytes(b"\xef\xbb\xbf")
    built = build({"path": "*.md"})
    accounted(built)
    assert "nothing.md" in {row["unit"] for row in built.rows("drops")}, "a byte order mark is no text"
    assert built.facts["sectioned"]
    assert {row["unit"].partition("#")[0] for row in built.documents} == {f"volume{n}.md" for n in range(3)}


def test_several_sources_keep_their_names_and_licences(build: Build, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("id,body\n" + "".join(f'{n},"{prose(100 + n, 4)}"\n' for n in range(10)), "utf-8")
    built = build({"path": "docs"}, {"name": "table", "path": "more.csv", "column": "body", "license": "CC-BY-4.0"})
    accounted(built)
    assert built.facts["sources"] == {"docs": 20, "table": 10}
    assert built.facts["licenses"] == ["CC-BY-4.0", "own"]
    assert {row["license"] for row in built.documents if row["source"] == "table"} == {"CC-BY-4.0"}


def test_poems_of_two_couplets_survive(build: Build, tmp_path: Path) -> None:
    lines = ["白玉誰家郎，回車渡天津。", "看花東上陌，驚動洛陽人。", "秦川雄帝宅，函谷壯皇居。", "綺殿千尋起，離宮百雉餘。"]
    lines += ["床前明月光，疑是地上霜。", "舉頭望明月，低頭思故鄉。"]
    rows = [f'{{"text": "{one}{other}"}}' for one in lines for other in lines if one < other]
    (tmp_path / "poems.jsonl").write_text("\n".join(rows), "utf-8")
    built = build({"path": "poems.jsonl"})
    accounted(built)
    assert built.facts["drops"] == {}
    assert set(built.facts["languages"]) <= {"zh", "ja", "wuu", "yue"}


def test_progress_is_reported_in_order(build: Build, folder: Path) -> None:
    reports: list[Report] = []
    build({"path": "docs"}, listener=reports.append)
    assert list(dict.fromkeys((report.stage, report.doing) for report in reports)) == [
        ("documents", "reading docs"), ("signals", "measuring"), ("corpus", "deciding"), ("corpus", "comparing"),
        ("corpus", "writing"),
    ]  # fmt: skip
    assert max(r.done for r in reports if r.doing == "measuring") == 20


@pytest.mark.parametrize(
    ("files", "source", "said"),
    [
        ({}, {"path": "dosc"}, ["no file or folder", "dosc"]),
        ({"docs/a.txt": prose(1)}, {"path": "dcos"}, ["Did you mean", "docs"]),
        ({"docs/a.txt": prose(1)}, {"path": "docs/*.md"}, ["No file matches", "*.md"]),
        ({"docs/a.png": "x"}, {"path": "docs"}, ["none of the 1 files", ".png", ".pdf"]),
        ({"docs/a.txt": "Short."}, {"path": "docs"}, ["corpus is empty", "too-few-words 1"]),
        ({"docs/a.txt": ""}, {"path": "docs"}, ["corpus is empty", "empty 1"]),
        ({"a.csv": "id,txet\n1,abc\n"}, {"path": "a.csv"}, ["a.csv", "no column 'text'", "'id', 'txet'", "column: txet"]),
        ({"a.jsonl": '{"body": "x"}\n{"body": "y"}'}, {"path": "a.jsonl"}, ["no column 'text'", "'body'", "column: body"]),
        ({"a.jsonl": "not json\nnor this\n"}, {"path": "a.jsonl"}, ["a.jsonl", "line 1", "not json"]),
        ({"a.txt": prose(1, 3)}, {"path": "a.txt"}, ["At least 2 units"]),
        ({f"{n}.txt": f"{prose(1)} {n}." for n in range(22)}, {"path": "*.txt"}, ["At least 2 units"]),
    ],
)  # fmt: skip
def test_bad_input_says_what_and_how_to_mend_it(
    build: Build, tmp_path: Path, files: dict[str, str], source: dict[str, Any], said: list[str]
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(EtymonError) as raised:
        build(source)
    for part in said:
        assert part in str(raised.value)
    assert not list((tmp_path / "store" / "artifacts").glob("corpus-*")), "nothing half-written"
    assert not list((tmp_path / "store" / "making").glob("*"))


@pytest.mark.slow
def test_the_standard_library_leaks_nothing(build: Build) -> None:
    built = build({"name": "python-docs", "kind": "python-docs", "license": "PSF-2.0"})
    accounted(built)
    assert built.facts["documents_train"] > 3000
    assert built.facts["heldout_units"] > 40
    assert built.facts["characters_heldout"] > 100_000
