import json
import os
import shutil
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from evidence_run import Run
from google.protobuf import json_format
from in_toto_attestation.v1 import statement as library
from in_toto_attestation.v1 import statement_pb2
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
from signing_run import PASSWORD, flips, record_run
from typer.testing import CliRunner

from etymon.cli.app import app
from etymon.commands.export.hub import export_for_hub
from etymon.errors import EtymonError
from etymon.evidence.bundle import SIGNATURE
from etymon.evidence.folder import RECORD, sign_folder, verify_folder
from etymon.evidence.keys import PublicKey, load_public, new_key
from etymon.store import Artifact, Store


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("folder-keys") / "key.pem"
    new_key(path, PASSWORD)
    return path


@pytest.fixture(scope="module")
def public(key: Path) -> PublicKey:
    return load_public(Path(f"{key}.pub"))


@pytest.fixture(scope="module")
def exported(run: Run, evidence: Artifact, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as it is passed on, signed."""
    place = tmp_path_factory.mktemp("folder-run")
    shutil.copytree(run.untouched, place / "workspace" / "artifacts")
    store = Store(place / "workspace")
    record_run(run, evidence, store=store)
    folder = export_for_hub("tiny-docs", place / "release", store).folder
    sign_folder(folder, key, PASSWORD)
    return folder


@pytest.fixture
def release(exported: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged, away from everything else."""
    return Path(shutil.copytree(exported, tmp_path / "elsewhere" / "release"))


def test_a_folder_alone_is_checked_and_its_chain_told(release: Path, public: PublicKey) -> None:
    checked = verify_folder(release, [public])
    assert checked.findings == ()
    assert (checked.key_id, checked.left_out) == (public.id, ())
    assert [(link.what, link.complete) for link in checked.chain.links] == [
        ("training", True), ("foundation", False), ("corpus", True), ("scores", True), ("lineage", True),
    ]  # fmt: skip
    assert "how it was made is not shown here" in str(checked.chain.links[1])


def test_model_signing_accepts_the_folder(release: Path, key: Path) -> None:
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(release), "--public_key", f"{key}.pub"]
    done = subprocess.run([*command, "--signature", str(release / SIGNATURE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_statement_is_verified_by_libraries_of_others(release: Path, key: Path) -> None:
    """securesystemslib and in-toto's own, with the public key's file; OpenSSL over the encoding of DSSE's specification."""
    their_key = SSlibKey.from_crypto(serialization.load_pem_public_key(Path(f"{key}.pub").read_bytes()))
    envelopes = sorted(release.rglob("*.dsse.json"))
    assert len(envelopes) == 5
    for path in envelopes:
        content = json.loads(path.read_bytes())
        (sealed,) = content["signatures"]
        content["signatures"] = [{"keyid": their_key.keyid, "sig": sealed["sig"]}]
        envelope = Envelope.from_dict(content)
        assert set(envelope.verify([their_key], 1)) == {their_key.keyid}
        assert envelope.payload == path.with_name(path.name.replace(".dsse", "")).read_bytes()
        statement = library.Statement.copy_from_pb(json_format.Parse(envelope.payload, statement_pb2.Statement()))
        statement.validate()
        kind = "application/vnd.in-toto+json"
        encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(envelope.payload), envelope.payload)
        signature = release.parent / "signature"
        signature.write_bytes(b64decode(sealed["sig"]))
        command = ["openssl", "dgst", "-sha256", "-verify", f"{key}.pub", "-signature", str(signature)]
        assert subprocess.run(command, input=encoded, capture_output=True).stdout == b"Verified OK\n"


def test_every_changed_byte_of_a_folder_is_found(release: Path, public: PublicKey) -> None:
    files = sorted(path for path in release.rglob("*") if path.is_file())
    for path in flips(files, 3 * len(files), seed=5):
        found = verify_folder(release, [public]).findings
        assert path.relative_to(release).as_posix() in {each.file for each in found}
    assert verify_folder(release, [public]).findings == ()


@pytest.mark.parametrize(
    ("damage", "file", "problem"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json", "is missing"),
        (lambda folder: (folder / "more.txt").write_text(""), "more.txt", "was added"),
        (lambda folder: (folder / "statements" / "more").touch(), "statements/more", "was added"),
        (lambda folder: (folder / "link").symlink_to("config.json"), "link", "was added"),
        (lambda folder: (folder / "linked").symlink_to("statements"), "linked", "was added"),
        (lambda folder: (folder / SIGNATURE).unlink(), SIGNATURE, "is missing"),
        (lambda folder: (folder / "NOTICE").rename(folder / "Notice"), "Notice", "was added"),
    ],
)  # fmt: skip
def test_what_is_added_missing_or_linked_is_found(
    release: Path, public: PublicKey, damage: Callable[[Path], object], file: str, problem: str
) -> None:
    damage(release)
    found = [each for each in verify_folder(release, [public]).findings if each.file == file]
    assert any(problem in each.problem for each in found)
    assert len(found) == 1 or "was added" not in problem, "one line is enough"


def test_what_git_keeps_is_listed_as_not_covered(release: Path, public: PublicKey) -> None:
    (release / ".gitattributes").write_text("*.safetensors filter=lfs\n", "utf-8")
    checked = verify_folder(release, [public])
    assert checked.findings == ()
    assert checked.left_out == (".gitattributes",)


def unsigned(release: Path) -> Path:
    """The folder as it was before it was signed, without what the export noted of it."""
    for path in [release / SIGNATURE, release / RECORD, *release.rglob("*.dsse.json")]:
        path.unlink(missing_ok=True)
    return release


def test_gaps_are_named(release: Path, public: PublicKey, key: Path) -> None:
    unsigned(release)
    for name in ("corpus", "evaluation-heldout", "lineage", "derivation"):
        (release / "statements" / f"{name}.json").unlink()
    sign_folder(release, key, PASSWORD)
    checked = verify_folder(release, [public])
    assert checked.findings == ()
    gaps = {link.what: link.says for link in checked.chain.links if not link.complete}
    assert set(gaps) == {"derivation", "foundation", "corpus", "scores", "lineage"}
    assert "no statement says what it is made of" in gaps["corpus"]


def test_a_training_without_parents_is_a_gap_and_a_derivation_without_them_no_statement(
    release: Path, public: PublicKey, key: Path
) -> None:
    restated(unsigned(release), "training.json", lambda s: s["predicate"]["buildDefinition"]["resolvedDependencies"].clear())
    for name in ("derivation", "corpus", "lineage"):
        (release / "statements" / f"{name}.json").unlink()
    sign_folder(release, key, PASSWORD)
    checked = verify_folder(release, [public])
    assert checked.findings == ()
    gaps = {link.what: link.says for link in checked.chain.links if not link.complete}
    assert gaps["foundation"] == gaps["corpus"] == "the training names none"
    path = release / "statements" / "derivation.json"
    path.write_text('{"_type": "https://in-toto.io/Statement/v1", "subject": [], "predicate": {"parents": []}}', "utf-8")
    found = verify_folder(release, [public]).findings
    assert any(each.file == "statements/derivation.json" and "was added" in each.problem for each in found)
    assert any(each.file == "statements/derivation.json" and "is not a statement" in each.problem for each in found)


def test_an_unknown_signer_of_a_folder_is_named_everywhere(release: Path, tmp_path: Path) -> None:
    stranger = new_key(tmp_path / "stranger.pem", PASSWORD)
    found = verify_folder(release, [stranger]).findings
    unknown = {each.file for each in found if "key that was given" in each.problem or "was not given" in each.problem}
    assert unknown == {SIGNATURE, *(f"statements/{path.name}" for path in (release / "statements").glob("*.dsse.json"))}


@pytest.mark.parametrize(
    "content", [b"[" * 200_000, b'{"_type":' + b'{"a":' * 100_000, b"{}," * 3_000_000, b"\xff\xfe", b"NaN"]
)
def test_statements_that_are_nested_or_huge_are_findings(release: Path, public: PublicKey, content: bytes) -> None:
    for name in ("corpus.json", "lineage.dsse.json"):
        (release / "statements" / name).write_bytes(content)
    found = {each.file: each.problem for each in verify_folder(release, [public]).findings}
    assert {"statements/corpus.json", "statements/lineage.dsse.json"} <= set(found)


def test_names_in_statements_never_become_paths(release: Path, public: PublicKey, key: Path) -> None:
    """A careless signer was given names that lead out of the folder; what lies there is not opened."""
    (release.parent / "outside.json").write_text("{}", "utf-8")

    def change(statement: dict[str, Any]) -> None:
        digest = statement["subject"][1]["digest"]
        statement["subject"].append({"name": "model/../../outside.json", "digest": digest})
        statement["subject"].append({"name": "model//etc/passwd", "digest": digest})

    restated(unsigned(release), "training.json", change)
    with pytest.raises(EtymonError, match="do not fit"):
        sign_folder(release, key, PASSWORD)
    found = verify_folder(release, [public]).findings
    assert {"../../outside.json", "/etc/passwd"} <= {each.file for each in found if "is not the file" in each.problem}


def test_a_folder_without_statements_is_one_gap(tmp_path: Path, public: PublicKey, key: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    assert sign_folder(tmp_path / "model", key, PASSWORD) == 1
    checked = verify_folder(tmp_path / "model", [public])
    assert checked.findings == ()
    assert [str(link) for link in checked.chain.links] == ["training: no statement says how the model was made"]


# Forged chains: the folder's signature is good, for a careless signer was given what is below.


def restated(release: Path, file: str, change: Callable[[dict[str, Any]], object]) -> None:
    path = release / "statements" / file
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def claims(statement: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = statement["predicate"]["etymon_claims"]
    return found


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("lineage.json", lambda s: claims(s)["parent"]["digest"].update(sha256="ab" * 32), "another foundation"),
        ("derivation.json", lambda s: s["predicate"]["parents"][0]["digest"].update(sha256="ab" * 32), "another foundation"),
        ("corpus.json", lambda s: s["subject"][0]["digest"].update(sha256="ab" * 32), "another corpus"),
        ("evaluation-heldout.json", lambda s: s["subject"][0]["digest"].update(sha256="ab" * 32), "another model"),
        ("training.json", lambda s: s["subject"][0]["digest"].update(sha256="ab" * 32), "another model"),
        ("training.json", lambda s: s["subject"][1]["digest"].update(sha256="ab" * 32), "does not follow"),
        ("training.json", lambda s: s["subject"][0].update(digest={"sha1": "ab" * 20}), "is not a statement"),
        ("training.json", lambda s: s.update(predicateType="https://etymon.dev/decision/v1"), "is not a statement"),
    ],
)  # fmt: skip
def test_statements_that_do_not_fit_are_neither_signed_nor_believed(
    release: Path, key: Path, public: PublicKey, file: str, change: Callable[[dict[str, Any]], object], problem: str
) -> None:  # fmt: skip
    restated(unsigned(release), file, change)
    with pytest.raises(EtymonError, match=f"its statements do not fit: .*{problem}"):
        sign_folder(release, key, PASSWORD)
    assert any(problem in each.problem for each in verify_folder(release, [public]).findings)


def test_other_weights_under_the_old_statements_are_refused(release: Path, key: Path) -> None:
    unsigned(release)
    with (release / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(EtymonError, match="not the file that the statement of training speaks of"):
        sign_folder(release, key, PASSWORD)


def test_weights_that_no_statement_speaks_of_are_refused(release: Path, key: Path) -> None:
    shutil.copyfile(release / "model.safetensors", unsigned(release) / "adapter.safetensors")
    with pytest.raises(EtymonError, match="belongs to the model, and no statement speaks of it"):
        sign_folder(release, key, PASSWORD)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_x.py", "chat_template.jinja", "generation_config.json"])
def test_what_would_be_loaded_with_the_model_is_spoken_of(release: Path, key: Path, name: str) -> None:
    unsigned(release)
    (release / name).unlink(missing_ok=True)
    (release / name).write_text("{}", "utf-8")
    with pytest.raises(EtymonError, match="statement"):
        sign_folder(release, key, PASSWORD)


def test_only_papers_may_be_replaced_by_those_of_an_export(release: Path, key: Path) -> None:
    unsigned(release)
    (release / "config.json").rename(release / "statements" / "trained-config.json")
    (release / "config.json").write_text("{}", "utf-8")
    with pytest.raises(EtymonError, match="is not the file that the statement of training speaks of"):
        sign_folder(release, key, PASSWORD)


def test_signing_a_folder_touches_nothing_that_is_there(release: Path, key: Path) -> None:
    precious = release.parent / "precious"
    precious.write_text("precious", "utf-8")
    theirs = (release / "statements" / "corpus.dsse.json").read_bytes()
    (release / SIGNATURE).unlink()
    with pytest.raises(EtymonError, match=r"\.dsse\.json is there already"):
        sign_folder(release, key, PASSWORD)
    assert (release / "statements" / "corpus.dsse.json").read_bytes() == theirs
    (unsigned(release) / "statements" / "training.dsse.json").symlink_to(precious)
    with pytest.raises(EtymonError, match="is there already"):
        sign_folder(release, key, PASSWORD)
    assert precious.read_text("utf-8") == "precious"
    (release / "statements" / "training.dsse.json").unlink()
    restated(release, "corpus.json", lambda s: s["subject"][0]["digest"].update(sha256="ab" * 32))
    with pytest.raises(EtymonError, match="do not fit"):
        sign_folder(release, key, PASSWORD)
    assert not list(release.rglob("*.dsse.json"))
    os.mkfifo(release / "statements" / "pipe.json")
    with pytest.raises(EtymonError, match=r"pipe\.json is a link or no file"):
        sign_folder(release, key, PASSWORD)


def test_pipes_and_links_in_the_place_of_statements_are_not_opened(release: Path, public: PublicKey) -> None:
    os.mkfifo(release / "statements" / "pipe.json")
    for name, target in (("zero.json", "/dev/zero"), ("zero.dsse.json", "/dev/zero")):
        (release / "statements" / name).symlink_to(target)
    (release / "statements" / "corpus.json").unlink()
    (release / "statements" / "corpus.json").symlink_to("/dev/zero")
    found = {each.file for each in verify_folder(release, [public]).findings if "is a link or no file" in each.problem}
    assert found == {f"statements/{name}.json" for name in ("pipe", "zero", "corpus")} | {"statements/zero.dsse.json"}


def test_links_into_the_blobs_of_the_hub_s_cache_are_followed(release: Path, public: PublicKey, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "cache" / "blobs", tmp_path / "cache" / "snapshots" / "0123abc"
    blobs.mkdir(parents=True)
    for number, path in enumerate(sorted(each for each in release.rglob("*") if each.is_file())):
        link = snapshot / path.relative_to(release)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, blobs / str(number))
        link.symlink_to(blobs / str(number))
    assert verify_folder(snapshot, [public]).findings == ()
    (blobs / "0").write_bytes(b"other")
    assert verify_folder(snapshot, [public]).findings


def test_a_second_statement_of_training_is_refused(release: Path, key: Path) -> None:
    shutil.copyfile(release / "statements" / "training.json", unsigned(release) / "statements" / "training-2.json")
    with pytest.raises(EtymonError, match="is not the only one about how the model was made"):
        sign_folder(release, key, PASSWORD)


def test_a_folder_that_is_taken_for_a_run_is_told(tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETYMON_KEY_PASSWORD", PASSWORD)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release").mkdir()
    done = CliRunner().invoke(app, ["sign", "release", "--key", str(key)])
    assert isinstance(done.exception, EtymonError)
    assert "write ./release" in done.exception.remedy


def test_a_signed_folder_is_not_signed_over_and_no_key_goes_into_one(release: Path, key: Path) -> None:
    with pytest.raises(EtymonError, match="is there already"):
        sign_folder(release, key, PASSWORD)
    inside = Path(shutil.copyfile(key, unsigned(release) / "key.pem"))
    with pytest.raises(EtymonError, match="lies in the folder"):
        sign_folder(release, inside, PASSWORD)
    with pytest.raises(EtymonError, match="no folder"):
        sign_folder(release / "gone", key, PASSWORD)


def test_the_commands_sign_and_verify(
    release: Path, key: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETYMON_KEY_PASSWORD", PASSWORD)
    workspace = tmp_path / "workspace"
    shutil.copytree(exported.parent / "workspace", workspace)

    def etymon(*arguments: object, code: int = 0) -> str:
        done = CliRunner().invoke(app, [str(each) for each in arguments])
        assert done.exit_code == code, (done.output, done.exception)
        return done.output if code != 2 else str(done.exception)

    assert "files are as" in etymon("verify", release, "--key", f"{key}.pub")
    assert "! gap: foundation" in etymon("verify", release, "--key", f"{key}.pub")
    assert "tiny-docs with" not in etymon("verify", workspace)
    assert "no key that was given has signed" in etymon("verify", workspace, "--key", f"{key}.pub", code=1)
    assert "signed: " in etymon("sign", "tiny-docs", "--key", key, "-w", workspace)
    assert "signed before: " in etymon("sign", "tiny-docs", "--key", key, "-w", workspace)
    assert "tiny-docs with" in etymon("verify", "--key", f"{key}.pub", "-w", workspace)
    assert "1 signature not checked" in etymon("verify", workspace)
    (release / "config.json").write_text("{}", "utf-8")
    assert "config.json: has other content" in etymon("verify", release, "--key", f"{key}.pub", code=1)
    with pytest.raises(EtymonError, match="a folder alone is checked by its signature"):
        CliRunner().invoke(app, ["verify", str(release)], catch_exceptions=False)


def test_names_of_files_steer_no_terminal(release: Path, key: Path) -> None:
    (release / ".git").mkdir()
    (release / ".git" / "x\x1b[2Jy").touch()
    (release / "z\x1b[2J").touch()
    done = CliRunner().invoke(app, ["verify", str(release), "--key", f"{key}.pub"])
    assert (done.exit_code, "\x1b" in done.output, "was added" in done.output) == (1, False, True)
    (release / "z\x1b[2J").unlink()
    done = CliRunner().invoke(app, ["verify", str(release), "--key", f"{key}.pub"])
    assert (done.exit_code, "\x1b" in done.output, "not covered by the signature" in done.output) == (0, False, True)
    assert "stated: the records behind it are not here" in done.output


@pytest.mark.parametrize("change", [lambda path: path.write_text("# Other\n", "utf-8"), lambda path: path.unlink()])
def test_a_card_that_is_not_as_exported_is_not_signed(release: Path, key: Path, change: Callable[[Path], object]) -> None:
    record = (release / RECORD).read_bytes()
    (unsigned(release) / RECORD).write_bytes(record)
    change(release / "README.md")
    with pytest.raises(EtymonError, match=r"README\.md is not as it was exported"):
        sign_folder(release, key, PASSWORD)
    assert not (release / SIGNATURE).exists()


def test_what_a_download_leaves_is_named_once(release: Path, public: PublicKey) -> None:
    (release / ".cache" / "huggingface" / "download").mkdir(parents=True)
    for name in ("CACHEDIR.TAG", "download/config.json.metadata"):
        (release / ".cache" / "huggingface" / name).touch()
    (found,) = verify_folder(release, [public]).findings
    assert "a download left" in found.problem


def test_a_folder_is_named_however_it_is_written(release: Path, public: PublicKey, monkeypatch: pytest.MonkeyPatch) -> None:
    (release / SIGNATURE).unlink()
    monkeypatch.chdir(release)
    assert {each.artifact for each in verify_folder(Path("."), [public]).findings} == {"release"}
