"""A model exported as GGUF: the file, its papers, and that it is there whole or not at all."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence_run import Run
from signing_run import record_run
from typer.testing import CliRunner

from etymon.cli.app import app
from etymon.commands.export.gguf import export_gguf
from etymon.errors import EtymonError
from etymon.evidence.folder import sign_folder, verify_folder
from etymon.evidence.keys import new_key
from etymon.foundation.gguf.header import read_gguf_header
from etymon.foundation.gguf.quantisation import Quantisation
from etymon.foundation.sources import open_model
from etymon.foundation.weights import open_weights
from etymon.progress import Report
from etymon.recipe import Waiver
from etymon.store import Artifact, Store

F16 = Quantisation.f16


def digests(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_a_run_goes_out_with_its_papers(run: Run, recorded: Store, evidence: Artifact, tmp_path: Path) -> None:
    done = export_gguf("tiny-docs", tmp_path / "out", Quantisation.q8_0, recorded)
    assert done.file == tmp_path / "out" / "tiny-docs-q8_0.gguf"
    written, told = digests(tmp_path / "out"), json.loads((tmp_path / "out" / "export.json").read_text("utf-8"))
    assert written == told["files"] | {"export.json": written["export.json"]}
    assert set(written) == {
        "tiny-docs-q8_0.gguf", "export.json", "README.md", "LICENSE", "NOTICE", "LICENSES/PSF-2.0.txt", "obligations.json"
    }  # fmt: skip
    assert len(written) == done.papers.files
    assert written["NOTICE"] == evidence.manifest.files["NOTICE"].sha256
    assert told["subject"] == run.derived_model().digest
    assert told["evidence"] == {"name": evidence.name, "digest": evidence.digest}
    assert (told["relation"], told["quantisation"], told["stored_types"]["Q8_0"]) == ("quantize", "q8_0", 22)
    assert any("PSF-2.0 (texts)" in line for line in done.papers.to_do)
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_the_file_says_what_it_is_from(run: Run, recorded: Store, tmp_path: Path) -> None:
    path = export_gguf("tiny-docs", tmp_path / "mine.gguf", F16, recorded).file
    assert {each.name for each in tmp_path.iterdir()} == {"mine.gguf", "mine.papers"}
    metadata = read_gguf_header(path).metadata
    assert metadata["general.name"] == "tiny-docs"
    assert metadata["general.license"] == "Apache-2.0"
    assert metadata["general.base_model.0.repo_url"] == "https://huggingface.co/someone/tiny-base"
    assert metadata["general.base_model.0.organization"] == "someone"
    assert metadata["etymon.model.digest"] == run.derived_model().digest
    model = open_model(str(path), cache=Store(tmp_path / "cache"))
    assert model.facts.exported_from == run.derived_model().digest
    assert model.facts.license == "Apache-2.0"
    assert model.facts.parents[0].uri == "hf:someone/tiny-base"
    assert open_weights(path).names == open_weights(run.derived_model().folder).names


def test_any_model_can_be_exported_with_the_text_of_its_licence(make_llama: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_llama(seed=4)
    done = export_gguf(str(folder), tmp_path / "out", F16, Store(tmp_path / "workspace"))
    assert set(digests(tmp_path / "out")) == {f"{folder.name}-f16.gguf", "export.json", "README.md", "LICENSE"}
    assert "Apache License" in (tmp_path / "out" / "LICENSE").read_text("utf-8")
    (folder / "LICENSE.txt").write_text("ours", "utf-8")
    (folder / "NOTICE").write_text("noted", "utf-8")
    again = export_gguf(str(folder), tmp_path / "again", F16, Store(tmp_path / "workspace"))
    papers = digests(tmp_path / "again")
    assert {"LICENSE.txt", "NOTICE"} <= set(papers)
    assert "LICENSE" not in papers
    assert again.file.read_bytes()[-4096:] == done.file.read_bytes()[-4096:]


def test_an_unmet_obligation_stops_it_unless_someone_answers(run: Run, recorded: Store, tmp_path: Path) -> None:
    writer = {"model": "meta-llama/Llama-3.1-8B-Instruct"}
    facts = run.corpus.facts | {"sources_declared": [{"source": "texts", "license": "own", "generated_by": writer}]}
    corpus = Artifact(run.corpus.folder, run.corpus.manifest.model_copy(update={"facts": facts}))
    record_run(run, run.evidence(name="gguf-of-llama", corpus=corpus), "gguf-of-llama")
    with pytest.raises(EtymonError, match="breaks the rule name-prefix"):
        export_gguf("gguf-of-llama", tmp_path / "no.gguf", F16, recorded)
    assert not list(tmp_path.iterdir())
    waiver = Waiver(rule="name-prefix", reason="for us alone")
    done = export_gguf("gguf-of-llama", tmp_path / "yes.gguf", F16, recorded, [waiver])
    assert done.papers.waived[0].reason == "for us alone"
    assert json.loads((tmp_path / "yes.papers" / "export.json").read_text("utf-8"))["waived"][0]["rule"] == "name-prefix"


def test_nothing_is_overwritten(recorded: Store, tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").write_text("kept", "utf-8")
    (tmp_path / "other.papers").mkdir()
    (tmp_path / "other.papers" / "theirs.txt").write_text("kept", "utf-8")
    for name in ("mine.gguf", "other.gguf", "other.papers"):
        with pytest.raises(EtymonError, match="is there already"):
            export_gguf("tiny-docs", tmp_path / name, F16, recorded)
    assert (tmp_path / "mine.gguf").read_text("utf-8") == "kept"


def test_a_stopped_export_leaves_nothing(recorded: Store, tmp_path: Path) -> None:
    def stop(report: Report) -> None:
        if report.done > report.total / 2 > 0 and report.stage == "export":
            raise KeyboardInterrupt

    for target in (tmp_path / "mine.gguf", tmp_path / "folder"):
        with pytest.raises(KeyboardInterrupt):
            export_gguf("tiny-docs", target, F16, recorded, listener=stop)
    assert not list(tmp_path.iterdir())


def test_changed_weights_are_found(recorded: Store, run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.store.root / "artifacts", tmp_path / "workspace" / "artifacts")
    path = tmp_path / "workspace" / "artifacts" / run.derivative.name / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)
    with pytest.raises(EtymonError, match=r"model\.safetensors has other content than was recorded"):
        export_gguf("tiny-docs", tmp_path / "mine.gguf", F16, Store(tmp_path / "workspace"))
    assert [each.name for each in tmp_path.iterdir()] == ["workspace"]


def test_its_folder_can_be_signed(recorded: Store, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    public = new_key(key, "correct horse")
    done = export_gguf("tiny-docs", tmp_path / "out", F16, recorded)
    sign_folder(tmp_path / "out", key, "correct horse")
    assert verify_folder(tmp_path / "out", [public]).findings == ()
    content = bytearray(done.file.read_bytes())
    content[-7] ^= 1
    done.file.write_bytes(content)
    (finding,) = verify_folder(tmp_path / "out", [public]).findings
    assert finding.file == done.file.name


def test_the_command_writes_and_refuses(recorded: Store, tmp_path: Path) -> None:
    workspace = ["-w", str(recorded.root)]
    arguments = ["export", "tiny-docs", str(tmp_path / "mine"), "--to", "gguf", "--quantize", "q4_1", *workspace]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "tiny-docs-q4_1.gguf" in done.output
    assert "21 tensors in Q4_1" in done.output
    assert "PSF-2.0 (texts): Keep the PSF licence agreement" in done.output
    wrong = ["export", "tiny-docs", str(tmp_path / "x"), "--to", "hf", "--quantize", "q4_1", *workspace]
    with pytest.raises(EtymonError, match="--quantize is for --to gguf"):
        CliRunner().invoke(app, wrong, catch_exceptions=False)
    waived = ["export", "tiny-docs-scratch", "--to", "gguf", "--waive", "name-prefix", "--reason", "x", *workspace]
    with pytest.raises(EtymonError, match="is no run"):
        CliRunner().invoke(app, waived, catch_exceptions=False)
