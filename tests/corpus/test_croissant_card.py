"""The card of a corpus: counts, and Croissant metadata that mlcroissant reads."""

import json
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from etymon.corpus.card import write_croissant
from etymon.corpus.composition import Amount, compose, count_personal, hosts
from etymon.corpus.policy.check import declarations
from etymon.corpus.policy.load import load_policy
from etymon.corpus.policy.rules import Rule
from etymon.corpus.signals.kinds import COUNTS
from etymon.recipe import Corpus
from etymon.waivers import Waived

DECISIONS = [
    # source, license, url, date, language, characters, words, reason, side
    ("web", "CC-BY-4.0", "https://www.Example.org:80/a", "2023-05-01", "en", 100, 20, None, "train"),
    ("web", "CC-BY-4.0", "https://user@blog.example.org/b", "2024-02-01T10:00:00Z", "de", 50, 10, None, "train"),
    ("web", "CC-BY-4.0", "https://example.org/c", None, "en", 40, 8, None, "heldout"),
    ("web", "CC-BY-4.0", "https://example.org/d", "2020-01-01", "en", 900, 1, "too-few-words", None),
    ("poems", "own", None, None, "zh", 28, 28, None, "train"),
    ("gone", "MIT", None, None, "en", 5, 1, "too-few-words", None),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    names = ["source", "license", "url", "date", "language", "characters", "words", "reason", "side"]
    table = pa.table({name: [row[at] for row in DECISIONS] for at, name in enumerate(names)})
    parquet.write_table(table, tmp_path / "decisions.parquet")
    for side in ("train", "heldout"):
        rows = [row for row in DECISIONS if row[-1] == side]
        columns: dict[str, Any] = {
            "id": pa.array([f"{side}{at}" for at in range(len(rows))]),
            "license": pa.array([row[1] for row in rows]),
            "text": pa.array(["Some text."] * len(rows), pa.large_string()),
            "row": pa.array([None] * len(rows), pa.large_string()),
            "copies": pa.array([1] * len(rows), pa.int32()),
        }
        parquet.write_table(pa.table(columns), tmp_path / f"{side}.parquet")
    return tmp_path


@pytest.fixture
def card(corpus: Path) -> dict[str, Any]:
    asked = Corpus.model_validate(
        {
            "sources": [
                {
                    "name": "web", "kind": "files", "path": "w", "license": "CC-BY-4.0", "origin": "https://example.org",
                    "personal_data": "public", "collected": {"from": date(2024, 1, 1), "to": "2024-03-31"},
                    "evidence": {"url": "https://example.org/terms", "sha256": "0" * 64}, "language": "en",
                },
                {"name": "poems", "kind": "files", "path": "p", "license": "own"},
                {"name": "gone", "kind": "files", "path": "g", "license": "MIT"},
            ]
        }
    )  # fmt: skip
    path = write_croissant(
        corpus,
        sources=declarations(asked),
        policy=load_policy("default", corpus),
        waived=[Waived(rule="origin-missing", source="poems", found="it declares no `origin`", reason="written by us")],
        composition=compose(corpus / "decisions.parquet"),
        drops={"too-few-words": 2, "unsupported-type.png": 1},
        personal={"emails": 3},
    )
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def test_rules_that_share_a_reason_are_all_told(corpus: Path) -> None:
    policy = load_policy("default", corpus)
    rules = tuple(Rule(reason="odd", signal=signal, above=bound) for signal, bound in (("words", 9), ("lines", 3)))
    path = write_croissant(
        corpus,
        sources=(),
        policy=policy.model_copy(update={"rules": rules}),
        waived=(),
        composition=compose(corpus / "decisions.parquet"),
        drops={"odd": 2, "bad-json": 1},
        personal={},
    )
    steps = json.loads(path.read_text("utf-8"))["rai:dataPreprocessingProtocol"]
    assert f"Left out as odd ({rules[0]}, or {rules[1]}): 2." in steps
    assert "Left out as bad-json (a row that is not JSON): 1." in steps


def test_hosts_are_those_that_policies_compare(tmp_path: Path) -> None:
    urls = ["https://WWW.a.org/x", "www.a.org", "a.org/z", "https://user@www.b.org:80?q", "no address", None]
    assert hosts(pa.chunked_array([urls])).to_pylist() == ["a.org", "a.org", "a.org", "b.org", None, None]


def test_what_is_kept_is_counted(corpus: Path) -> None:
    found = compose(corpus / "decisions.parquet")
    web, poems, gone = found.parts
    assert (web.source, web.license) == ("web", "CC-BY-4.0")
    assert web.found == Amount(documents=4, characters=1090, words=39)
    assert web.train == Amount(documents=2, characters=150, words=30)
    assert web.heldout == Amount(documents=1, characters=40, words=8)
    assert poems.train.documents == 1
    assert gone.train == gone.heldout == Amount()
    assert found.kept == Amount(documents=4, characters=218, words=66)
    assert [(share.name, share.amount.documents) for share in found.languages] == [("en", 2), ("de", 1), ("zh", 1)]
    assert [(share.name, share.amount.documents) for share in found.domains] == [("example.org", 2), ("blog.example.org", 1)]
    assert (found.domain_count, found.undomained.documents, found.undated.documents) == (2, 1, 2)
    assert [share.name for share in found.years] == ["2023", "2024"]
    assert (found.earliest, found.latest) == ("2023-05-01", "2024-02-01T10:00:00Z")


def test_a_corpus_without_addresses_and_dates(tmp_path: Path) -> None:
    text, count = pa.string(), pa.int64()
    columns = {"source": ["a"], "license": ["own"], "url": pa.array([None], text), "date": pa.array([None], text)}
    columns |= {"language": ["en"], "characters": pa.array([3], count), "words": pa.array([1], count), "side": ["train"]}
    parquet.write_table(pa.table(columns), tmp_path / "decisions.parquet")
    found = compose(tmp_path / "decisions.parquet")
    assert (found.domains, found.years, found.earliest, found.latest) == ((), (), None, None)
    assert found.undomained == found.undated == found.kept


def test_personal_data_of_kept_documents_is_summed(tmp_path: Path) -> None:
    columns = {name: pa.array([at, 10, 100], pa.int64()) for at, name in enumerate(COUNTS.values())}
    parquet.write_table(pa.table(columns), tmp_path / "signals.parquet")
    counts = count_personal(tmp_path / "signals.parquet", np.array([True, False, True]))
    assert counts == {name: 100 + at for at, name in enumerate(COUNTS.values())}


def test_the_card_is_croissant_and_loads_the_corpus(corpus: Path, card: dict[str, Any]) -> None:
    dataset = mlcroissant.Dataset(jsonld=corpus / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    records = list(dataset.records("train"))
    assert [record["train/id"] for record in records] == [b"train0", b"train1", b"train2"]
    assert {record["train/copies"] for record in records} == {1}
    assert len(list(dataset.records("heldout"))) == 1
    metadata = dataset.metadata
    assert metadata.license == ["CC-BY-4.0", "own"]
    assert [each.date().isoformat() for each in metadata.data_collection_timeframe] == ["2024-01-01", "2024-03-31"]
    assert "Left out as too-few-words (words below 12): 2." in metadata.data_preprocessing_protocol
    assert "emails: 3 found, masked." in metadata.personal_sensitive_information
    assert "web: ground public." in metadata.personal_sensitive_information
    assert "evidence https://example.org/terms (SHA-256 000" in metadata.data_collection
    assert "waived for poems: it declares no `origin`. Reason given: written by us" in metadata.data_limitations[0]


def test_the_card_holds_digests_counts_and_waivers_as_data(corpus: Path, card: dict[str, Any]) -> None:
    digests = {each["name"]: each["sha256"] for each in card["distribution"]}
    assert digests == {
        name: sha256((corpus / name).read_bytes()).hexdigest() for name in ("train.parquet", "heldout.parquet")
    }
    assert card["composition"]["parts"][0]["train"] == {"documents": 2, "characters": 150, "words": 30}
    assert card["sources"][0]["collected"] == {"from": "2024-01-01", "to": "2024-03-31"}
    assert card["waived"][0]["reason"] == "written by us"


def test_a_changed_file_no_longer_loads(corpus: Path, card: dict[str, Any]) -> None:
    table = parquet.read_table(corpus / "train.parquet").slice(1)
    parquet.write_table(table, corpus / "train.parquet")
    with pytest.raises(Exception, match=r"Download\(train\.parquet\)"):
        list(mlcroissant.Dataset(jsonld=corpus / "croissant.json").records("train"))
