"""Impact over a real run: its documents, source, foundation and board of records."""

from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from evidence_run import Run
from register_office import Office
from signing_run import record_run

from etymon.commands.export.hub import export_for_hub
from etymon.commands.register import add_model, impact_of, warnings_of, withdraw_anything
from etymon.errors import EtymonError
from etymon.evidence.impact.documents import find_document
from etymon.evidence.provenance import model_digest
from etymon.foundation.facts import describe_model
from etymon.recipe import Budget, Train
from etymon.store import Artifact, Store
from etymon.train.stage import TrainExecution, TrainMeaning, train_stage


@pytest.fixture
def store(run: Run, evidence: Artifact, copied: Store) -> Store:
    record_run(run, evidence, store=copied)
    return copied


def test_every_document_is_found_by_its_id_and_its_unit(run: Run, store: Store) -> None:
    rows = parquet.read_table(run.corpus.file("decisions.parquet")).to_pylist()
    assert {row["side"] for row in rows} >= {"train", "heldout"}
    for row in rows:
        (by_id,) = find_document(row["id"], [run.corpus])
        (by_unit,) = find_document(f"{row['source']}/{row['unit']}", [run.corpus])
        assert by_id == by_unit
        assert row["side"] is None or by_id.side == row["side"]
    for side, derivatives in (("train", [run.derivative.name]), ("heldout", [])):
        found = impact_of(next(row["id"] for row in rows if row["side"] == side), store, None)
        assert [item.name for item in found.group("corpora")] == [run.corpus.name]
        assert [item.name for item in found.group("derivatives")] == derivatives
        assert [item.name for item in found.group("scores")] == [run.heldout.name]


def test_the_beginning_of_several_ids(run: Run) -> None:
    ids = sorted(parquet.read_table(run.corpus.file("decisions.parquet"), columns=["id"])["id"].to_pylist())
    assert find_document(ids[0][:7], [run.corpus]) == [], "too little to be an id"
    assert find_document(ids[0][:12], [run.corpus])[0].id == ids[0]


def test_the_source_and_the_foundation(run: Run, store: Store) -> None:
    for name in ("texts", "tiny-base", "somewhere", run.foundation.digest[:12]):
        found = impact_of(name, store, None)
        assert found.what == ("source" if name == "texts" else "model")
        assert [item.called for item in found.group("derivatives")] == [("tiny-docs",)]
        assert {item.name.partition("-")[0] for item in found.group("records")} == {"evidence", "run"}
    assert [item.name for item in impact_of("tiny-base", store, None).group("measurements")] == [run.lineage.name]


def test_what_was_exported_is_still_the_run(run: Run, store: Store, tmp_path: Path) -> None:
    """Registered, and trained further: what was in the run is in both."""
    export_for_hub("tiny-docs", tmp_path / "release", store)
    exported = describe_model(tmp_path / "release", name="release", source="release", digests=store.digests)
    assert exported.digest != model_digest(run.derivative)
    assert exported.facts.exported_from == model_digest(run.derivative)
    office = Office(store)
    add_model(str(tmp_path / "release"), "1", None, office.desk("Ada"))
    settings = Train(budget=Budget(tokens=500), tokens_per_step=500, sequence_length=128, dtype="float32")
    inputs = {"foundation": exported, "corpus": run.corpus}
    further, _ = store.obtain(train_stage, inputs, TrainMeaning(settings=settings), TrainExecution(pack_tokens=512))
    found = impact_of("tiny-base", store, None).group("derivatives")
    assert {each.name for each in found} == {run.derivative.name, exported.digest, further.name}
    signers = office.write_signers(tmp_path)
    assert warnings_of(model_digest(run.derivative), store, signers) == []
    withdraw_anything("tiny-base", None, "Its licence was withdrawn", office.desk("Grace"))
    (said,) = warnings_of(model_digest(run.derivative), store, signers)
    assert said == "It rests on the model tiny-base, which was withdrawn: Its licence was withdrawn."
    (said,) = warnings_of(model_digest(run.derivative), store, tmp_path / "lost.yaml")
    assert "there is no file of signers" in said
    assert [each.about.name for each in office.books().grounds(office.books().register.find("release")).gone] == ["tiny-base"]


def test_damage_is_told(store: Store, run: Run) -> None:
    (store.root / "artifacts" / run.corpus.name / "manifest.json").write_text("{", "utf-8")
    with pytest.raises(EtymonError, match="is damaged"):
        impact_of("texts", store, None)


def test_an_empty_workspace(tmp_path: Path) -> None:
    with pytest.raises(EtymonError, match="knows no model"):
        impact_of("anything", Store(tmp_path), None)
