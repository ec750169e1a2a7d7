"""A look into each source before it is used, and sources that hold refused terms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from etymon.corpus.build import documents_meaning
from etymon.corpus.policy.load import load_policy
from etymon.corpus.policy.policy import IllegalContent, Policy
from etymon.corpus.policy.terms import refuse_sources_with_terms
from etymon.corpus.sources.find import corpus_inputs
from etymon.corpus.stages.documents import DocumentsExecution, documents_stage
from etymon.corpus.stages.sampled import (
    SAMPLED,
    SampledExecution,
    SampledMeaning,
    _Look,
    refuse_illegal,
    sampled_stage,
    source_samples,
)
from etymon.errors import EtymonError
from etymon.recipe import Corpus, Waiver
from etymon.store import Artifact, Store


def policy(tmp_path: Path, **asked: Any) -> Policy:
    illegal = IllegalContent.model_validate({"sample": 10, "limit": 0.05, "terms": ("stolen goods",)} | asked)
    return load_policy("default", tmp_path).model_copy(update={"illegal_content": illegal})


@pytest.fixture
def documents(tmp_path: Path) -> Artifact:
    """Thirty clean documents, and thirty of which every second is illegal."""
    for name, bad in (("clean", 31), ("dirty", 2)):
        (tmp_path / name).mkdir()
        for at in range(30):
            text = "Where to buy STOLEN\n goods." if at % bad == 1 else "How to bake bread."
            (tmp_path / name / f"{at:02}.txt").write_text(f"{text} Number {at}.", "utf-8")
    sources = [{"name": name, "kind": "files", "path": name, "license": "own"} for name in ("clean", "dirty")]
    asked, store = Corpus.model_validate({"sources": sources}), Store(tmp_path / "store")
    inputs = corpus_inputs(asked, tmp_path, store.digests)
    return store.obtain(documents_stage, inputs, documents_meaning(asked), DocumentsExecution())[0]


def sampled(documents: Artifact, of: Policy, seed: int = 0) -> Artifact:
    assert of.illegal_content
    meaning = SampledMeaning(illegal_content=of.illegal_content, seed=seed)
    store = Store(documents.folder.parent.parent)
    return store.obtain(sampled_stage, {"documents": documents}, meaning, SampledExecution())[0]


def test_a_source_with_too_much_is_refused_and_may_be_waived(documents: Artifact, tmp_path: Path) -> None:
    asked = policy(tmp_path, sample=100)
    found = sampled(documents, asked)
    clean, dirty = source_samples(found)
    assert (clean.documents, clean.sampled, clean.illegal) == (30, 30, 1)
    assert (dirty.source, dirty.documents, dirty.sampled, dirty.illegal) == ("dirty", 30, 30, 15)
    assert dirty.low < 0.5 < dirty.high
    with pytest.raises(EtymonError) as caught:
        refuse_illegal(found, asked, ())
    assert "Source 'dirty' breaks the rule illegal-content of the data policy default: 15 of 30" in str(caught.value)
    assert "'clean'" not in str(caught.value)
    [waived] = refuse_illegal(found, asked, (Waiver(rule="illegal-content", source="dirty", reason="court files"),))
    assert (waived.rule, waived.source, waived.reason) == ("illegal-content", "dirty", "court files")


def test_so_many_are_drawn_by_the_seed(documents: Artifact, tmp_path: Path) -> None:
    asked = policy(tmp_path)
    rows = parquet.read_table(sampled(documents, asked).file(SAMPLED))
    assert [each.sampled for each in source_samples(sampled(documents, asked))] == [10, 10]
    assert rows["position"].to_pylist() == sorted(set(rows["position"].to_pylist()))
    other = parquet.read_table(sampled(documents, asked, seed=1).file(SAMPLED))
    assert other["position"].to_pylist() != rows["position"].to_pylist()


def test_patterns_are_searched_for_in_any_case(documents: Artifact, tmp_path: Path) -> None:
    asked = policy(tmp_path, terms=(), patterns=(r"number\s+1?7\b",), sample=100, limit=0.5)
    found = parquet.read_table(sampled(documents, asked).file(SAMPLED)).drop_null().to_pylist()
    assert [(row["source"], row["unit"]) for row in found] == [
        ("clean", "07.txt"),
        ("clean", "17.txt"),
        ("dirty", "07.txt"),
        ("dirty", "17.txt"),
    ]
    assert found[0]["found"] == r"pattern number\s+1?7\b"


def test_what_nobody_sees_hides_nothing(tmp_path: Path) -> None:
    look = _Look(IllegalContent(sample=1, limit=0, terms=("stolen",), patterns=(r"\bguns\b",)))
    assert look("a st\0olen car") == "term stolen"
    assert look("gu\0ns") == r"pattern \bguns\b"


def test_a_waiver_for_nothing_is_refused(documents: Artifact, tmp_path: Path) -> None:
    asked = policy(tmp_path, terms=("never said",))
    with pytest.raises(EtymonError, match="is for nothing"):
        refuse_illegal(sampled(documents, asked), asked, (Waiver(rule="illegal-content", reason="in case"),))


def with_terms(tmp_path: Path, counts: Mapping[str, list[int]]) -> Path:
    rows = [(source, f"{source}-{at}", count) for source, each in counts.items() for at, count in enumerate(each)]
    source, unit, count = zip(*rows, strict=True)
    parquet.write_table(pa.table({"source": source, "unit": unit, "refused_terms": count}), tmp_path / "signals.parquet")
    return tmp_path / "signals.parquet"


def test_a_source_with_refused_terms_is_refused_where_the_policy_says_so(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("name: ours\nrefused_terms: {terms: [x], action: refuse-source}\n", "utf-8")
    ours, documents = load_policy("ours.yaml", tmp_path), with_terms(tmp_path, {"a": [0, 0], "b": [0, 2, 1]})
    with pytest.raises(EtymonError, match=r"Source 'b' .* 2 of its 3 documents hold refused terms, the first b-1"):
        refuse_sources_with_terms(documents, ours, ())
    [waived] = refuse_sources_with_terms(documents, ours, (Waiver(rule="refused-term", reason="a dictionary"),))
    assert waived.source == "b"
    assert refuse_sources_with_terms(documents, load_policy("default", tmp_path), ()) == []
