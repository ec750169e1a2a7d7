"""One base and one document are withdrawn in a register of fifty models: what is listed is all there is, and no more."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from fifty_models import BASES, COPY, DOCUMENT, Given, World, made, make_world
from register_office import Office, digest_of

from etymon.commands.register import impact_of, withdraw_anything
from etymon.errors import EtymonError
from etymon.evidence.impact.downstream import Impact
from etymon.evidence.provenance import model_digest
from etymon.evidence.register import act
from etymon.evidence.register.decision import Added
from etymon.store import Store

GIVEN = Added(source="x", license="MIT")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("fifty") / "workspace")


@pytest.fixture
def office(world: World, tmp_path: Path) -> Office:
    """A copy without the catalog, which is rebuilt from the artifacts."""
    shutil.copytree(world.store.root, tmp_path / "workspace")
    (tmp_path / "workspace" / "catalog.db").unlink()
    store = Store(tmp_path / "workspace")
    assert store.catalog.rebuild(store.artifacts()) == len(list(store.artifacts()))
    assert len(store.catalog.rows("decision")) == 125
    return Office(store, world.office.keys, world.office.signers)


def names(world: World, found: Impact) -> set[str]:
    """The derivatives by their short names."""
    by_digest = {model.digest: model.name for model in world.models}
    assert len({item.digest for item in found.group("derivatives")}) == len(found.group("derivatives"))
    return {by_digest[item.digest] for item in found.group("derivatives")}


def check_approvals(world: World, office: Office, found: Impact, expected: set[str]) -> None:
    """Those of every other model downstream, each lapsed by the withdrawal; all others hold."""
    approved = {model.name for number, model in enumerate(world.models) if number % 2 == 0}
    assert {each.model for each in found.approvals} == approved & expected
    assert {(each.signer, each.state.partition(":")[0]) for each in found.approvals} == {("Grace", "lapsed")}
    books = office.books()
    lapsed = {entry.about.name for entry in books.register.entries.values() if books.lapses(entry)}
    assert lapsed == approved & expected


def test_a_withdrawn_base(world: World, office: Office, tmp_path: Path) -> None:
    signers = office.write_signers(tmp_path)
    before = impact_of("b0", office.store, signers)
    assert {each.state for each in before.approvals} == {"holds"}
    withdraw_anything("b0", None, "Its licence was withdrawn", office.desk("Grace"))
    found = impact_of("b0", office.store, signers)
    expected = world.downstream({"b0"})
    assert len(expected) > 15
    assert names(world, found) == expected
    assert found.group("corpora") == ()
    scores = {score for name in {*expected, "b0"} & world.scores.keys() for score in world.scores[name]}
    assert {item.name for item in found.group("scores")} == scores
    check_approvals(world, office, found, expected)
    by_name = {item.called[0]: item for item in found.group("derivatives")}
    assert by_name["m3"].edges == ("declared", "measured")
    assert by_name["m12"].edges == ("declared",)
    assert by_name["m47"].edges == ("measured",), "no document says what the weights say"
    assert not by_name["m47"].declared
    assert [name for name, item in by_name.items() if not item.declared] == ["m47"]
    assert by_name["m48"].through == "b0"
    assert found.items == before.items, "a withdrawal changes what is allowed, not what is made of what"


def test_a_withdrawn_document(world: World, office: Office, tmp_path: Path) -> None:
    signers = office.write_signers(tmp_path)
    withdraw_anything(DOCUMENT, None, "Its author asked for it", office.desk("Grace"))
    found = impact_of(DOCUMENT, office.store, signers)
    assert {item.name: item.said for item in found.group("corpora")} == {
        world.corpora[0].name: "to learn from",
        world.corpora[1].name: "held out to measure on",
        world.corpora[2].name: "dropped (near-duplicate), but notes-2/other.txt is to learn from",
        world.corpora[3].name: "read, and dropped: too-short",
    }
    expected = world.downstream({"c0", "c2", "m46"}) | {"m46"}
    assert names(world, found) == expected, "with the one that was chosen by the held-out document"
    scores = {score for name in expected & world.scores.keys() for score in world.scores[name]}
    assert {item.name for item in found.group("scores")} == scores | world.scores["held-out c1"]
    check_approvals(world, office, found, expected)


def test_all_documents_of_a_unit_are_withdrawn_by_its_name(office: Office) -> None:
    """Those too that come under it later, and of no other source."""
    with pytest.raises(EtymonError, match=r"0.txt is a document of several sources: notes-0/0.txt, notes-1/0.txt"):
        withdraw_anything("0.txt", None, "Stolen", office.desk("Grace"))

    def corpus_of(ids: list[str], number: int) -> str:
        rows = [{"id": id, "source": "pages", "unit": "ttk", "side": "train"} for id in ids]
        names = ["id", "source", "unit", "url", "reason", "detail", "side"]
        table = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})
        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink)
        corpus = made(office.store, "corpus", {}, {}, {"decisions.parquet": sink.getvalue().to_pybytes()}, number=number)
        weights = {"model/weights": b"of pages %d" % number}
        trained = made(office.store, "train", {"corpus": corpus}, {}, weights, number=number)
        act.add(office.desk("Ada"), act.about("model", "pages", str(number), model_digest(trained)), GIVEN)
        return str(number)

    first = corpus_of([f"{number:020x}" for number in range(9)], 201)
    done = withdraw_anything("pages/ttk", None, "Its author asked for it", office.desk("Grace"))
    assert len(done.documents) == 9
    books = office.books()
    later = corpus_of(["f" * 20], 202)
    for version in (first, later):
        entry = office.books().register.find("pages", version)
        assert [each.reason for each in office.books().grounds(entry).gone] == ["Its author asked for it"]
    assert not any(books.lapses(entry) for entry in books.register.entries.values()), "no other model has them"
    with pytest.raises(EtymonError, match="pages/ttk was withdrawn already"):
        act.withdraw_other(office.desk("Grace"), done.signed.decision.about, "Again")


def test_what_only_stands_beside_is_not_listed(world: World, office: Office) -> None:
    """A copy, a source, a corpus, a model in the middle: each by a name or digits of its digest."""
    store = office.store
    assert names(world, impact_of(COPY, store, None)) == world.downstream({"c2"})
    assert names(world, impact_of("notes-4", store, None)) == world.downstream({"c4"})
    assert names(world, impact_of(digest_of("source 4")[:12], store, None)) == world.downstream({"c4"})
    assert names(world, impact_of(world.corpora[4].name[:-3], store, None)) == world.downstream({"c4"})
    for name in ("m2", world.trained[2].name, world.models[2].digest[:10], world.trained[2].digest[:10]):
        found = impact_of(name, store, None)
        assert found.what == "model"
        assert names(world, found) == {"m32", "m49"}
    assert names(world, impact_of("m49", store, None)) == set()
    assert impact_of("notes-1/secret.txt", store, None).digest == DOCUMENT
    assert {each.state for each in impact_of("b1", store, None).approvals} == {""}


def test_a_model_that_was_exported_and_trained_further(office: Office) -> None:
    """Its folder has other papers, so another digest; the training notes which model it is an export of."""
    store, of_m2 = office.store, impact_of("m2", office.store, None).group("derivatives")
    exported = Given("release", digest_of("release"))
    facts = {
        "foundation_exported_from": next(each.digest for each in impact_of("b2", store, None).items if "m2" in each.called)
    }
    further = made(store, "train", {"foundation": exported}, facts, {"model/weights": b"further"})
    found = impact_of("m2", store, None).group("derivatives")
    assert {each.name for each in found} - {each.name for each in of_m2} == {further.name, exported.digest}
    assert {each.declared for each in found} == {True}


def test_a_model_that_wrote_a_source(office: Office) -> None:
    """However it is written, and by what it is called here too."""
    for number, writer in enumerate(("https://huggingface.co/Org/Writer", "m5")):
        declared = {"sources_declared": [{"source": "dialogues", "generated_by": {"model": writer}}]}
        corpus = made(office.store, "corpus", {}, declared, {"corpus": b"%d" % number}, number=100 + number)
        trained = made(office.store, "train", {"corpus": corpus}, {}, {"model/weights": b"written %d" % number})
        for name in ("hf:org/writer", writer) if number == 0 else ("m5",):
            found = impact_of(name, office.store, None)
            assert corpus.name in [each.name for each in found.group("corpora")]
            assert trained.name in [each.name for each in found.group("derivatives")]
    withdraw_anything("org/WRITER", None, "It copies", office.desk("Grace"))
    trained_digest = impact_of("org/writer", office.store, None).group("derivatives")[0].digest
    act.add(office.desk("Ada"), act.about("model", "pupil", "1", trained_digest), Added(source="x", license="MIT"))
    (gone,) = office.books().grounds(office.books().register.find("pupil")).gone
    assert gone.reason == "It copies"


def test_a_decision_without_facts_is_named(office: Office) -> None:
    path = office.decisions()[0].folder / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["facts"] = {}
    path.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(EtymonError, match=r"The manifest of decision-.* says no decision \(kind"):
        impact_of("b0", office.store, None)


def test_every_base_and_corpus_against_the_tables(world: World) -> None:
    for name in BASES:
        assert names(world, impact_of(name, world.store, None)) == world.downstream({name})
    for number, corpus in enumerate(world.corpora):
        assert names(world, impact_of(corpus.name, world.store, None)) == world.downstream({f"c{number}"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nothing", "knows no model, source or document nothing"),
        ("", "knows no model, source or document"),
        ("../../etc/passwd", "knows no model"),
        ("train-", "knows no model"),
        ("notes-1O", r"Did you mean notes-\d\?"),
    ],
)
def test_names_of_nothing(world: World, text: str, says: str) -> None:
    with pytest.raises(EtymonError, match=says):
        impact_of(text, world.store, None)


def test_a_name_of_several_things(world: World, office: Office) -> None:
    office.add("notes-1", digest="c" * 64)
    with pytest.raises(EtymonError, match="notes-1 is the name of a model and of a source"):
        impact_of("notes-1", office.store, None)
    assert impact_of("notes-1", office.store, None, "source").group("corpora")[0].name == world.corpora[1].name
    with pytest.raises(EtymonError, match="is an artifact"):
        withdraw_anything(world.corpora[0].name, None, "No", office.desk("Grace"))
