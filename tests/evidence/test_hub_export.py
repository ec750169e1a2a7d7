import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence_run import Run
from huggingface_hub import ModelCard
from safetensors import safe_open
from signing_run import record_run
from typer.testing import CliRunner

from etymon.cli.app import app
from etymon.commands.export.hub import export_for_hub
from etymon.errors import EtymonError
from etymon.evidence.provenance import model_files
from etymon.foundation.facts import describe_model
from etymon.recipe import Waiver
from etymon.store import Artifact, Store
from etymon.train.save import copy_companions


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_folder_holds_all_that_goes_with_a_model(run: Run, recorded: Store, evidence: Artifact, tmp_path: Path) -> None:
    done = export_for_hub("tiny-docs", tmp_path / "out" / "mine", recorded)
    written = digests(done.folder)
    told = json.loads((done.folder / "export.json").read_text("utf-8"))
    assert written == told["files"] | {"export.json": written["export.json"]}
    assert len(written) == done.files
    assert told["subject"] == run.derived_model().digest
    for name in ("model.safetensors", "config.json", "tokenizer.json", "README.md", "LICENSE", "NOTICE", "bom.cdx.json"):
        assert name in written
    assert "LICENSES/PSF-2.0.txt" in written
    assert {f"statements/{name}.json" for name in ("training", "derivation", "corpus", "lineage")} <= set(written)
    assert written["README.md"] == evidence.manifest.files["README.md"].sha256
    model = {file.removeprefix("model/"): sha for file, sha in model_files(run.derivative).items()}
    assert set(model.values()) <= set(written.values())
    assert written["statements/trained-README.md"] == model["README.md"]
    assert list((tmp_path / "out").iterdir()) == [done.folder]


def test_it_opens_as_a_model_and_says_what_it_is_from(recorded: Store, tmp_path: Path) -> None:
    folder = export_for_hub("tiny-docs", tmp_path / "mine", recorded).folder
    model = describe_model(folder, name="mine", source="mine")
    assert model.facts.license == "Apache-2.0"
    assert model.facts.parents[0].uri == "hf:someone/tiny-base"
    assert ModelCard.load(folder / "README.md").data.base_model == ["someone/tiny-base"]
    with safe_open(folder / "model.safetensors", "np") as weights:
        assert list(weights.keys())


def test_an_unmet_obligation_stops_it_unless_someone_answers(run: Run, recorded: Store, tmp_path: Path) -> None:
    writer = {"model": "meta-llama/Llama-3.1-8B-Instruct"}
    facts = run.corpus.facts | {"sources_declared": [{"source": "texts", "license": "own", "generated_by": writer}]}
    corpus = Artifact(run.corpus.folder, run.corpus.manifest.model_copy(update={"facts": facts}))
    record_run(run, run.evidence(name="docs-of-llama", corpus=corpus), "docs-of-llama")
    with pytest.raises(EtymonError, match=r"under llama-3\.1, breaks the rule name-prefix") as caught:
        export_for_hub("docs-of-llama", tmp_path / "no", recorded)
    assert "--waive name-prefix:meta-llama/Llama-3.1-8B-Instruct --reason" in str(caught.value)
    assert not (tmp_path / "no").exists()
    waiver = Waiver(rule="name-prefix", reason="for us alone")
    done = export_for_hub("docs-of-llama", tmp_path / "yes", recorded, [waiver])
    assert done.waived[0].reason == "for us alone"
    assert json.loads((done.folder / "export.json").read_text("utf-8"))["waived"][0]["rule"] == "name-prefix"


def test_a_waiver_of_nothing_is_refused(recorded: Store, tmp_path: Path) -> None:
    with pytest.raises(EtymonError, match="is for nothing"):
        export_for_hub("tiny-docs", tmp_path / "x", recorded, [Waiver(rule="name-prefix", reason="x")])


def test_nothing_is_overwritten(recorded: Store, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "theirs.txt").write_text("kept", "utf-8")
    with pytest.raises(EtymonError, match="is there already, and not empty"):
        export_for_hub("tiny-docs", tmp_path / "mine", recorded)
    assert (tmp_path / "mine" / "theirs.txt").read_text("utf-8") == "kept"
    (tmp_path / "empty").mkdir()
    assert export_for_hub("tiny-docs", tmp_path / "empty", recorded).files > 10


def test_a_changed_byte_is_found_and_no_folder_left(recorded: Store, run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.store.root / "artifacts", tmp_path / "workspace" / "artifacts")
    path = tmp_path / "workspace" / "artifacts" / run.derivative.name / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)
    with pytest.raises(EtymonError, match=r"model\.safetensors has other content than was recorded"):
        export_for_hub("tiny-docs", tmp_path / "mine", Store(tmp_path / "workspace"))
    assert not (tmp_path / "mine").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["workspace"]


@pytest.mark.parametrize("content", ["", "{}", '{"materials": []}'])
def test_obligations_that_someone_edited_are_not_believed(recorded: Store, run: Run, tmp_path: Path, content: str) -> None:
    shutil.copytree(run.store.root / "artifacts", tmp_path / "workspace" / "artifacts")
    for path in (tmp_path / "workspace" / "artifacts").glob("evidence-*/obligations.json"):
        path.write_text(content, "utf-8")
    with pytest.raises(EtymonError, match=r"obligations\.json has"):
        export_for_hub("tiny-docs", tmp_path / "mine", Store(tmp_path / "workspace"))


@pytest.mark.parametrize("name", ["export.json", "bom.cdx.json", "NOTICE"])
def test_no_file_of_a_model_takes_the_place_of_evidence(
    recorded: Store, run: Run, tmp_path: Path, name: str, evidence: Artifact
) -> None:
    shutil.copytree(run.store.root / "artifacts", tmp_path / "workspace" / "artifacts")
    derivative = tmp_path / "workspace" / "artifacts" / run.derivative.name
    (derivative / "model" / name).write_text("{}", "utf-8")
    manifest = json.loads((derivative / "manifest.json").read_text("utf-8"))
    manifest["files"][f"model/{name}"] = {"sha256": hashlib.sha256(b"{}").hexdigest(), "bytes": 2, "log": False}
    (derivative / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    folder = export_for_hub("tiny-docs", tmp_path / "mine", Store(tmp_path / "workspace")).folder
    assert (folder / "statements" / f"trained-{name}").read_text("utf-8") == "{}"
    if name in evidence.manifest.files:
        assert (folder / name).read_bytes() == evidence.file(name).read_bytes()


def test_a_manifest_that_leads_elsewhere_is_refused(recorded: Store, run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.store.root / "artifacts", tmp_path / "workspace" / "artifacts")
    path = tmp_path / "workspace" / "artifacts" / run.derivative.name / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["files"]["model/../../stray.txt"] = manifest["files"]["model/config.json"]
    path.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(EtymonError, match="would be written outside the folder"):
        export_for_hub("tiny-docs", tmp_path / "mine", Store(tmp_path / "workspace"))
    assert not (tmp_path / "stray.txt").exists()


def test_the_command_says_what_is_left_to_do(
    recorded: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_llama: Callable[..., Path]
) -> None:
    arguments = ["export", "tiny-docs", str(tmp_path / "mine"), "--to", "hf", "-w", str(recorded.root)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "PSF-2.0 (texts): Keep the PSF licence agreement" in done.output
    assert "hf upload ORGANISATION/tiny-docs" in done.output
    with pytest.raises(EtymonError, match="has no artifact nothing"):
        CliRunner().invoke(app, ["export", "nothing", "--to", "hf", "-w", str(recorded.root)], catch_exceptions=False)


def test_what_it_says_of_itself_does_not_go_on_into_a_derivative_of_it(recorded: Store, tmp_path: Path) -> None:
    folder = export_for_hub("tiny-docs", tmp_path / "mine", recorded).folder
    copy_companions(folder, tmp_path / "derived")
    names = {path.name for path in (tmp_path / "derived").iterdir()}
    assert {"tokenizer.json", "LICENSE", "NOTICE"} <= names
    assert not names & {"bom.cdx.json", "obligations.json", "export.json", "README.md"}
