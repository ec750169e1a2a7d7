"""The funnel adds up, source by source, and its samples explain themselves."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest

from etymon.corpus.inspect.funnel import Count, funnel
from etymon.corpus.inspect.opened import OpenCorpus, open_corpus
from etymon.corpus.reasons import STEPS
from etymon.errors import EtymonError
from etymon.store import Store


def test_every_document_is_counted_once(opened: OpenCorpus) -> None:
    found = funnel(opened)
    for path in (found.total, *found.sources):
        lost = sum((path.lost(step) for step in STEPS), Count())
        assert path.found == lost + path.train + path.heldout
    assert [path.source for path in found.sources] == ["notes", "pages", "talk"]
    assert sum((path.found for path in found.sources), Count()) == found.total.found
    assert found.total.found.documents == opened.corpus.facts["documents_in"]
    assert {loss.reason: loss.count.documents for loss in found.total.losses} == opened.corpus.facts["drops"]
    assert all(found.total.lost(step).documents for step in STEPS if step != "existing corpora")


def test_losses_are_in_the_order_of_the_steps(opened: OpenCorpus) -> None:
    for path in (funnel(opened).total, *funnel(opened).sources):
        steps = [list(STEPS).index(loss.step) for loss in path.losses]
        assert steps == sorted(steps)


def test_samples_say_why(opened: OpenCorpus) -> None:
    samples = funnel(opened).samples
    assert set(samples) == set(opened.corpus.facts["drops"])
    assert all(each for each in samples.values())
    (leak,) = samples["evaluation-item"]
    assert (leak.unit, leak.note) == ("leak.txt", "shares words with lamps/1")
    assert samples["exact-duplicate"][0].note.startswith("kept instead: notes/")
    assert all("nearly-" in each.note for each in samples["near-duplicate"])
    short = next(each for each in samples["too-few-words"] if each.unit == "short.txt")
    assert (short.note, short.excerpt) == ("words is 2", "Too short.")
    assert samples["unreadable-pdf"][0].unit == "broken.pdf"


def test_passes_cuts_and_the_mixture_are_told(opened: OpenCorpus) -> None:
    found = funnel(opened)
    copies = pyarrow.parquet.read_table(opened.corpus.file("train.parquet"))["copies"].to_pylist()
    assert found.passes == sum(copies) > found.total.train.documents
    assert {share.source for share in found.mixture} == {"notes", "pages", "talk"}
    assert found.cut == {"after-last-answer": Count(documents=1, characters=len("And then?"))}


def test_a_document_that_is_nowhere_is_no_corpus(opened: OpenCorpus, tmp_path: Path) -> None:
    shutil.copytree(opened.corpus.folder, tmp_path / "corpus")
    path = tmp_path / "corpus" / "decisions.parquet"
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.slice(1), path)
    with pytest.raises(RuntimeError, match="do not account for every document"):
        funnel(replace(opened, corpus=replace(opened.corpus, folder=tmp_path / "corpus")))


def test_a_corpus_is_found_by_its_beginning(opened: OpenCorpus, inspected_store: Store) -> None:
    assert open_corpus(opened.corpus.name[:15], inspected_store).corpus.name == opened.corpus.name
    with pytest.raises(EtymonError, match="has no corpus 'nowhere'"):
        open_corpus("nowhere", inspected_store)


def test_a_corpus_without_its_signals_is_to_be_built_again(
    build_inspected: Callable[..., OpenCorpus], made: Path, tmp_path: Path
) -> None:
    opened = build_inspected()
    other = Store(tmp_path / "other")
    (other.root / "artifacts").mkdir(parents=True)
    shutil.copytree(opened.corpus.folder, other.root / "artifacts" / opened.corpus.name)
    with pytest.raises(EtymonError, match="are gone"):
        open_corpus(opened.corpus.name, other)
