import json
import shutil
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from evidence_run import Run
from signing_run import PASSWORD, SignedRun, files_of_run, flips, record_run, sign_in

from etymon.commands.signing import sign, verify_workspace
from etymon.errors import EtymonError
from etymon.evidence.bundle import SIGNATURE, open_bundle
from etymon.evidence.envelope import open_envelope, seal
from etymon.evidence.keys import load_key, load_public, new_key
from etymon.evidence.predicates import PAYLOAD_TYPE
from etymon.evidence.signed_run import INVENTORY
from etymon.evidence.statements import TRAINING
from etymon.evidence.verify import Finding
from etymon.store import Artifact, Store
from etymon.workspace import find_artifact


@pytest.fixture
def signed(run: Run, evidence: Artifact, copied: Store, tmp_path: Path) -> SignedRun:
    record_run(run, evidence, store=copied)
    return sign_in(copied, tmp_path)


def findings(signed: SignedRun, today: date | None = None) -> tuple[Finding, ...]:
    return verify_workspace(signed.store.root, [signed.public], today).findings


def test_a_signed_run_is_sound_and_its_chain_told(signed: SignedRun, run: Run) -> None:
    found = verify_workspace(signed.store.root, [signed.public])
    assert found.findings == ()
    (told,) = found.signed
    assert (told.name, told.key_id) == ("tiny-docs", signed.public.id)
    assert {run.derivative.name, run.corpus.name, run.heldout.name} <= told.covered
    assert all(run.corpus.manifest.inputs[role].label in told.covered for role in ("documents", "signals"))
    assert told.chain
    gaps = [link.what for link in told.chain.links if not link.complete]
    assert gaps == ["foundation"]


def test_signing_again_finds_what_is_signed(signed: SignedRun) -> None:
    before = {path: path.read_bytes() for path in signed.folder.iterdir()}
    assert sign("tiny-docs", signed.store, signed.key, PASSWORD) == (signed.folder, True)
    assert {path: path.read_bytes() for path in signed.folder.iterdir()} == before


def test_model_signing_accepts_the_signature(signed: SignedRun, run: Run) -> None:
    model = signed.store.root / "artifacts" / run.derivative.name / "model"
    command = [
        sys.executable,
        "-m",
        "model_signing",
        "verify",
        "key",
        str(model),
        "--signature",
        str(signed.folder / SIGNATURE),
    ]
    done = subprocess.run([*command, "--public_key", f"{signed.key}.pub"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout
    with (model / "config.json").open("ab") as file:
        file.write(b" ")
    assert subprocess.run(command, capture_output=True).returncode != 0


def test_the_subject_is_one_everywhere(signed: SignedRun, run: Run) -> None:
    bundle = open_bundle((signed.folder / SIGNATURE).read_bytes(), [signed.public])
    opened = open_envelope((signed.folder / "training.dsse.json").read_bytes(), [signed.public])
    assert bundle.root == json.loads(opened.payload)["subject"][0]["digest"]["sha256"] == run.derived_model().digest


def test_every_changed_byte_is_found_and_its_file_named(signed: SignedRun) -> None:
    files = files_of_run(signed.store)
    changed = 0
    for path in flips(files, 2 * len(files), seed=11):
        found = findings(signed)
        assert any((each.artifact, each.file) == _place(path, signed.store.root) for each in found), path
        changed += 1
    assert changed > len(files)
    assert findings(signed) == ()


def _place(path: Path, root: Path) -> tuple[str, str]:
    _, artifact, *file = path.relative_to(root).parts
    return artifact, "/".join(file)


def test_every_added_and_every_missing_file_is_found(signed: SignedRun, tmp_path: Path) -> None:
    for path in files_of_run(signed.store):
        kept = path.rename(tmp_path / "kept")
        assert findings(signed), f"{path} is missing"
        kept.rename(path)
        added = path.with_name(f"{path.name}.more")
        added.write_bytes(b"")
        assert (*_place(added, signed.store.root), True) in {
            (each.artifact, each.file, "was added" in each.problem) for each in findings(signed)
        }
        added.unlink()
    assert findings(signed) == ()


@pytest.mark.parametrize("place", ["artifacts", "signed", "artifacts/sub", "signed/sub"])
def test_files_beside_the_folders_are_found_or_listed(signed: SignedRun, place: str) -> None:
    stray = signed.store.root / place
    stray.mkdir(exist_ok=True)
    (stray / "stray.txt").write_text("x", "utf-8")
    assert findings(signed)


def test_a_run_whose_signatures_were_removed_is_found(signed: SignedRun) -> None:
    shutil.rmtree(signed.store.root / "signed")
    (found,) = findings(signed)
    assert "no key that was given has signed" in found.problem


def test_an_unknown_signer_is_named(signed: SignedRun, tmp_path: Path) -> None:
    stranger = new_key(tmp_path / "stranger.pem", PASSWORD)
    found = verify_workspace(signed.store.root, [stranger]).findings
    assert any(f"signed by {signed.public.id[:16]}" in each.problem for each in found)
    assert verify_workspace(signed.store.root, [stranger, signed.public]).findings == ()


def test_a_signature_expires(signed: SignedRun) -> None:
    folder, known = sign("tiny-docs", signed.store, signed.key, PASSWORD, expires=date(2030, 1, 31))
    assert not known
    assert findings(signed, date(2030, 1, 31)) == ()
    shutil.rmtree(signed.folder)
    (found,) = findings(signed, date(2030, 2, 1))
    assert (found.artifact, "until 2030-01-31" in found.problem) == (folder.name, True)
    with pytest.raises(EtymonError, match="would never count"):
        sign("tiny-docs", signed.store, signed.key, PASSWORD, expires=date(2020, 1, 31))
    sign("tiny-docs", signed.store, signed.key, PASSWORD)
    found_again = verify_workspace(signed.store.root, [signed.public], date(2030, 2, 1))
    assert found_again.findings == ()
    assert [each.folder for each in found_again.superseded] == [folder]


def test_a_folder_of_an_earlier_state_does_not_count_once_the_run_is_signed_anew(signed: SignedRun, run: Run) -> None:
    """The evaluation is made anew: same content, another time in its manifest."""
    manifest = signed.store.root / "artifacts" / run.heldout.name / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_bytes()) | {"created": "2031-01-01T00:00:00+00:00"}), "utf-8")
    assert [each.artifact for each in findings(signed)] == [run.heldout.name]
    folder, known = sign("tiny-docs", signed.store, signed.key, PASSWORD)
    assert (findings(signed), known, folder == signed.folder) == ((), False, False)
    manifest.write_bytes(manifest.read_bytes() + b" ")
    assert {each.artifact for each in findings(signed)} == {run.heldout.name}


def test_signing_again_mends_what_was_lost(signed: SignedRun) -> None:
    (signed.folder / SIGNATURE).unlink()
    (signed.folder / "more").mkdir()
    assert findings(signed)
    assert sign("tiny-docs", signed.store, signed.key, PASSWORD) == (signed.folder, False)
    assert findings(signed) == ()


def test_signing_again_reads_every_byte(signed: SignedRun, run: Run) -> None:
    with (signed.store.root / "artifacts" / run.corpus.name / "train.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(EtymonError, match="is not signed, for it is not sound"):
        sign("tiny-docs", signed.store, signed.key, PASSWORD)


def test_a_run_planted_under_a_signed_name_is_found(signed: SignedRun, run: Run) -> None:
    """However old it says it is, the name stands for it once the pointer does; export and serve would take it."""
    planted = record_run(run, run.evidence(store=signed.store), store=signed.store, tokens=1501)
    manifest = planted.folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_bytes()) | {"created": "2001-01-01T00:00:00+00:00"}), "utf-8")
    assert findings(signed) == ()
    signed.store.point("tiny-docs", {}, finished=planted.name)
    assert find_artifact("tiny-docs", signed.store).name == planted.name
    (found,) = findings(signed)
    assert (found.artifact, "no key that was given has signed" in found.problem) == (planted.name, True)


def test_going_back_to_an_earlier_recipe_asks_for_no_signature_of_the_later(signed: SignedRun, run: Run) -> None:
    first = find_artifact("tiny-docs", signed.store)
    later = record_run(run, run.evidence(store=signed.store), store=signed.store, tokens=1501)
    assert [each.artifact for each in findings(signed)] == [later.name]
    signed.store.point("tiny-docs", {}, finished=first.name)
    assert findings(signed) == ()


def test_where_there_is_no_run_nothing_is_signed(copied: Store, signed: SignedRun, tmp_path: Path) -> None:
    for each in list(copied.artifacts()):
        if each.manifest.stage == "run":
            shutil.rmtree(each.folder)
    shutil.rmtree(signed.folder)
    (found,) = findings(signed)
    assert "holds no run" in found.problem
    assert any("holds no run" in each.problem for each in verify_workspace(tmp_path / "none", [signed.public]).findings)


def test_damaged_pointers_are_passed_over(signed: SignedRun) -> None:
    place = signed.store.root / "pointers"
    place.mkdir(exist_ok=True)
    for name, content in (("a", b'{"parts": 1, "finished": [], "updated": 3}'), ("b", b"[" * 100_000), ("c", b"\xff")):
        (place / f"{name}.json").write_bytes(content)
    assert findings(signed) == ()


@pytest.mark.parametrize("name", ["training.dsse.json", INVENTORY])
def test_the_other_of_two_signatures_that_anyone_can_compute_is_refused(signed: SignedRun, name: str) -> None:
    path = signed.folder / name
    envelope = json.loads(path.read_bytes())
    r, s = decode_dss_signature(b64decode(envelope["signatures"][0]["sig"]))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    envelope["signatures"][0]["sig"] = b64encode(encode_dss_signature(r, order - s)).decode()
    path.write_bytes(json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    with pytest.raises(EtymonError, match="no envelope"):
        open_envelope(path.read_bytes(), [signed.public])
    assert any(each.file == name for each in findings(signed))


def test_what_is_not_sound_is_not_signed(signed: SignedRun, run: Run, tmp_path: Path) -> None:
    shutil.rmtree(signed.store.root / "signed")
    with (signed.store.root / "artifacts" / run.corpus.name / "train.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(EtymonError, match=r"is not signed, for it is not sound: .*train\.parquet"):
        sign("tiny-docs", signed.store, signed.key, PASSWORD)
    assert not (signed.store.root / "signed").exists()
    with pytest.raises(EtymonError, match="password does not open"):
        sign("tiny-docs", signed.store, signed.key, "wrong")
    with pytest.raises(EtymonError, match="is no run"):
        sign(run.derivative.name, signed.store, signed.key, PASSWORD)


# Forgeries. The forger has the signer's own envelopes of other runs, and can write what he likes but not sign it.


def rewritten(signed: SignedRun, name: str, change: Callable[[dict[str, Any]], None], key: Path | None = None) -> None:
    """Change an envelope's statement; its old signature stays, or another key signs."""
    path = signed.folder / name
    envelope = json.loads(path.read_bytes())
    statement = json.loads(b64decode(envelope["payload"]))
    change(statement)
    payload = (json.dumps(statement, indent=1) + "\n").encode()
    if key:
        path.write_bytes(seal(payload, PAYLOAD_TYPE, load_key(key, PASSWORD)))
        return
    envelope["payload"] = b64encode(payload).decode()
    path.write_bytes(json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode() + b"\n")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("training.dsse.json", lambda s: s["subject"][0]["digest"].update(sha256="ab" * 32)),
        ("derivation.dsse.json", lambda s: s["predicate"]["parents"][0].update(name="llama")),
        ("corpus.dsse.json", lambda s: s["predicate"].update(licenses=["MIT"])),
        (INVENTORY, lambda s: s["subject"].pop()),
        (INVENTORY, lambda s: s["subject"][0]["digest"].update(sha256="ab" * 32)),
        (INVENTORY, lambda s: s["predicate"].update(expires="2999-01-01")),
    ],
)
def test_a_statement_rewritten_under_its_old_signature_is_refused(
    signed: SignedRun, name: str, change: Callable[[dict[str, Any]], None]
) -> None:
    rewritten(signed, name, change)
    assert any(each.file == name for each in findings(signed))


def test_another_key_does_not_help_a_forger(signed: SignedRun, tmp_path: Path) -> None:
    new_key(tmp_path / "forger.pem", PASSWORD)
    rewritten(signed, INVENTORY, lambda s: None, tmp_path / "forger.pem")
    assert any("whose public key was not given" in each.problem for each in findings(signed))


def test_a_second_signer_is_a_note_to_whoever_trusts_the_first(signed: SignedRun, tmp_path: Path) -> None:
    second = new_key(tmp_path / "second.pem", PASSWORD)
    folder, _ = sign("tiny-docs", signed.store, tmp_path / "second.pem", PASSWORD)
    found = verify_workspace(signed.store.root, [signed.public])
    assert (found.findings, [each.folder for each in found.signed]) == ((), [signed.folder])
    assert [(each.artifact, each.signer) for each in found.strangers] == [(folder.name, f"{second.id[:16]}…")]
    stranger = new_key(tmp_path / "stranger.pem", PASSWORD)
    assert verify_workspace(signed.store.root, [stranger]).findings


@pytest.fixture
def other(run: Run, copied: Store, signed: SignedRun) -> SignedRun:
    """Another run of the same signer, in the same workspace."""
    evidence = run.evidence(name="other-docs", store=copied)
    record_run(run, evidence, "other-docs", copied)
    return replace(signed, folder=sign("other-docs", copied, signed.key, PASSWORD)[0])


@pytest.mark.parametrize("name", ["training.dsse.json", "evaluation-heldout.dsse.json", INVENTORY])
def test_a_statement_of_another_run_is_refused(signed: SignedRun, other: SignedRun, name: str) -> None:
    assert findings(signed) == ()
    shutil.copyfile(other.folder / name, signed.folder / name)
    assert any(each.artifact == signed.folder.name for each in findings(signed))


def test_signatures_of_another_workspace_are_refused(signed: SignedRun, other: SignedRun, run: Run) -> None:
    shutil.rmtree(signed.folder)
    for name in ("run", "evidence"):
        for each in list(signed.store.artifacts()):
            if each.manifest.stage == name and each.facts["name"] == "other-docs":
                shutil.rmtree(each.folder)
    found = findings(other)
    assert any("which is not here" in each.problem for each in found)
    assert any("no key that was given has signed" in each.problem for each in found)


def test_a_signature_taken_from_another_envelope_is_refused(signed: SignedRun) -> None:
    one, two = (signed.folder / name for name in ("training.dsse.json", "corpus.dsse.json"))
    envelope = json.loads(one.read_bytes()) | {"signatures": json.loads(two.read_bytes())["signatures"]}
    one.write_bytes(json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    assert any(each.file == "training.dsse.json" for each in findings(signed))


@pytest.mark.parametrize("algorithm", ["sha1", "md5", "sha512", "gitCommit"])
def test_a_downgraded_digest_is_refused_even_under_a_good_signature(signed: SignedRun, algorithm: str) -> None:
    """The signer himself would have to be talked into it; the reader knows SHA-256 alone."""
    rewritten(signed, INVENTORY, lambda s: s["subject"][0].update(digest={algorithm: "ab" * 20}), signed.key)
    assert any("is not a statement" in each.problem for each in findings(signed))


def test_a_bundle_of_other_files_or_weaker_digests_is_refused(signed: SignedRun) -> None:
    content = json.loads((signed.folder / SIGNATURE).read_bytes())
    payload = json.loads(b64decode(content["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"][0]["algorithm"] = "blake2b"
    content["dsseEnvelope"]["payload"] = b64encode(json.dumps(payload).encode()).decode()
    with pytest.raises(EtymonError, match="changed after it was signed"):
        open_bundle(json.dumps(content, separators=(",", ":")).encode(), [signed.public])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[" * 100_000, b'{"mediaType":' + b'{"a":' * 50_000, b"\xff" * 100, b"null",
        b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","mediaType":"x"}',
    ],
)  # fmt: skip
def test_what_is_no_bundle_is_refused(signed: SignedRun, content: bytes) -> None:
    with pytest.raises(EtymonError, match="no signature of a model"):
        open_bundle(content, [signed.public])
    (signed.folder / SIGNATURE).write_bytes(content)
    assert any(each.file == SIGNATURE for each in findings(signed))


def test_a_whole_run_forged_consistently_is_found(signed: SignedRun, run: Run, copied: Store) -> None:
    """All that is not signed is made anew around another name; every unsigned check is content with it."""
    forged = run.evidence(name="forged", store=copied)
    shutil.rmtree(copied.root / "artifacts" / run.evidence(store=copied).name)
    assert forged.file(TRAINING).is_file()
    assert any("which is not here" in each.problem for each in findings(signed))


def test_hostile_names_in_an_inventory_never_become_paths(signed: SignedRun, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "manifest.json").write_text("{}", "utf-8")

    def change(statement: dict[str, Any]) -> None:
        statement["subject"][0]["name"] = "../../secret/manifest.json"
        statement["predicate"]["signed"][0]["name"] = "../../../secret/manifest.json"
        statement["predicate"]["parts"]["evidence"] = "../../secret"

    rewritten(signed, INVENTORY, change, signed.key)
    found = findings(signed)
    assert any("speaks of ../../secret, which is not here" in each.problem for each in found)


def test_a_public_key_in_place_of_the_private_one_is_told(signed: SignedRun) -> None:
    with pytest.raises(EtymonError, match="no private key"):
        sign("tiny-docs", signed.store, signed.key.with_name("key.pem.pub"), PASSWORD)
    assert load_public(signed.key.with_name("key.pem.pub")) == signed.public
