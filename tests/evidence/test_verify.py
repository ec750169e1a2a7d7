import json
import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evidence_run import Run
from signing_run import record_run

from etymon.errors import EtymonError
from etymon.evidence.statements import CORPUS, DERIVATION, LINEAGE, TRAINING
from etymon.evidence.verify import Finding, taken_from_outside, verify
from etymon.store import Artifact, Store, file_digest, load_artifact, root_digest
from etymon.store.artifact import MANIFEST, artifact_name
from etymon.store.stage import address_of
from etymon.workspace import find_run


def findings(store: Store) -> list[Finding]:
    return verify(store.artifacts())


def folder_of(store: Store, stage: str) -> Path:
    return next(artifact.folder for artifact in store.artifacts() if artifact.manifest.stage == stage)


def test_an_untouched_run_is_sound(copied: Store) -> None:
    assert findings(copied) == []


def test_a_flipped_bit_in_any_file_is_found_and_named(copied: Store) -> None:
    chance = random.Random(7)
    for artifact in list(copied.artifacts()):
        for name in artifact.manifest.files:
            path = artifact.folder / name
            original = path.read_bytes()
            place = chance.randrange(len(original))
            path.write_bytes(original[:place] + bytes([original[place] ^ 1 << chance.randrange(8)]) + original[place + 1 :])
            assert (artifact.name, name) in {(found.artifact, found.file) for found in findings(copied)}
            path.write_bytes(original)
    assert findings(copied) == []


def test_a_flip_that_keeps_size_and_time_is_found(copied: Store) -> None:
    """Nothing remembered about a file is trusted."""
    path = folder_of(copied, "train") / "model" / "model.safetensors"
    assert copied.digests.file(path)
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read(1)
        stream.seek(-1, 2)
        stream.write(bytes([last[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (found,) = [each for each in findings(copied) if each.file == "model/model.safetensors"]
    assert found.problem == "has other content than was recorded."
    assert "run again" in found.remedy


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.unlink(), "is missing."),
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "bytes, not"),
        (lambda path: path.with_name("extra.txt").write_text("x"), "was added"),
        (lambda path: path.rename(path.with_name("other.json")), "was added"),
        (lambda path: (path.unlink(), path.symlink_to("config.json")), "is missing."),
    ],
)
def test_missing_cut_added_and_linked_files_are_found(copied: Store, damage: Callable[[Path], Any], problem: str) -> None:
    damage(folder_of(copied, "train") / "model" / "tokenizer.json")
    assert any(problem in found.problem for found in findings(copied))


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite a manifest by hand."""
    content = json.loads((folder / MANIFEST).read_text("utf-8"))
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m["meaning"]["settings"].update(seed=99), "address does not follow"),
        (lambda m: m["inputs"]["corpus"].update(digest="ab" * 32), "address does not follow"),
        (lambda m: m.update(stage_version=99), "address does not follow"),
        (lambda m: m.update(address="0" * 64), "another name"),
        (lambda m: m.update(digest="cd" * 32), "does not follow from those of its files"),
        (lambda m: m["files"].pop("model/config.json"), "was added"),
        (lambda m: m["files"].update({"../../secret": m["files"]["loss.svg"]}), "outside the artifact"),
        (lambda m: m["files"].update({"/etc/hostname": m["files"]["loss.svg"]}), "outside the artifact"),
    ],
)
def test_an_edited_manifest_is_found(copied: Store, change: Callable[[dict[str, Any]], None], problem: str) -> None:
    edit(folder_of(copied, "train"), change)
    assert any(problem in found.problem for found in findings(copied))


def test_a_digest_that_is_none_is_refused(copied: Store) -> None:
    folder = folder_of(copied, "train")
    edit(folder, lambda manifest: manifest["files"]["loss.svg"].update(sha256="not hex"))
    with pytest.raises(EtymonError, match="is damaged"):
        load_artifact(folder)


def test_a_consistent_forgery_of_the_weights_is_found_by_what_was_built_on_them(copied: Store) -> None:
    """File, manifest and digest agree with each other; the evidence and the scores still speak of the old ones."""
    folder = folder_of(copied, "train")
    path = folder / "model" / "config.json"
    path.write_bytes(path.read_bytes() + b"\n")

    def forge(manifest: dict[str, Any]) -> None:
        record = manifest["files"]["model/config.json"]
        record["sha256"], record["bytes"] = file_digest(path), path.stat().st_size
        manifest["digest"] = root_digest(
            {name: each["sha256"] for name, each in manifest["files"].items() if not each["log"]}
        )

    edit(folder, forge)
    found = findings(copied)
    assert not [each for each in found if each.artifact == folder.name]
    assert {each.artifact.split("-")[0] for each in found} >= {"evidence"}


def test_of_two_artifacts_with_one_content_that_of_the_name_is_meant(copied: Store) -> None:
    """Two ways may lead to the same figures; the statement names the way that was taken."""
    for artifact in list(copied.artifacts()):
        if artifact.manifest.stage in ("corpus", "evaluate"):
            twin = artifact.manifest.model_copy(update={"stage_version": 99})
            digests = {role: given.digest for role, given in twin.inputs.items()}
            twin = twin.model_copy(update={"address": address_of(twin.stage, 99, twin.meaning, digests)})
            folder = artifact.folder.parent / artifact_name(twin.stage, twin.address)
            shutil.copytree(artifact.folder, folder)
            (folder / MANIFEST).write_text(twin.model_dump_json(), "utf-8")
    given = list(copied.artifacts())
    assert verify(given) == verify(given[::-1]) == []


def test_a_missing_link_is_named(copied: Store, run: Run) -> None:
    without = [artifact for artifact in copied.artifacts() if artifact.manifest.stage != "corpus"]
    found = verify(without)
    assert found
    assert all(run.corpus.name in each.problem for each in found)
    assert {each.remedy.split(",")[0] for each in found} == {"Bring back what it was made from", "Verify them together."}


def test_what_comes_from_outside_is_listed(copied: Store, run: Run) -> None:
    outside = taken_from_outside(copied.artifacts())
    assert set(outside.values()) == {"tiny-base", "texts"}
    assert run.foundation.digest in outside
    assert run.derived_model().digest not in outside


def restate(copied: Store, change: Callable[[dict[str, Any]], None], file: str = TRAINING) -> list[Finding]:
    """Rewrite a statement and make the manifest agree with it; then verify."""
    folder = folder_of(copied, "evidence")
    path = folder / file
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")

    def agree(manifest: dict[str, Any]) -> None:
        manifest["files"][file] |= {"sha256": file_digest(path), "bytes": path.stat().st_size}
        manifest["digest"] = root_digest({name: each["sha256"] for name, each in manifest["files"].items()})

    edit(folder, agree)
    return findings(copied)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda s: s["subject"][0]["digest"].update(sha256="ab" * 32), "its subject is not the model"),
        (lambda s: s["subject"][1]["digest"].update(sha256="ab" * 32), "states another digest"),
        (lambda s: s["subject"].pop(), "states another digest"),
        (lambda s: s["subject"].append({"name": "../x", "digest": {"sha256": "ab" * 32}}), "states another digest"),
        (lambda s: s["predicate"]["buildDefinition"]["resolvedDependencies"].pop(), "other dependencies"),
        (lambda s: s["subject"].clear(), "is not a statement"),
        (lambda s: s.update(predicateType="https://example.org/other"), "is not a statement"),
        (lambda s: s.update(extra=1), "is not a statement"),
    ],
)
def test_a_rewritten_statement_is_found(copied: Store, change: Callable[[dict[str, Any]], None], problem: str) -> None:
    (found, *_) = restate(copied, change)
    assert problem in found.problem
    assert found.file == TRAINING


@pytest.mark.parametrize(
    ("file", "change"),
    [
        (TRAINING, lambda s: s["subject"][0].update(name="other")),
        (TRAINING, lambda s: s["predicate"]["buildDefinition"]["externalParameters"]["settings"].update(seed=9)),
        (TRAINING, lambda s: s["predicate"]["buildDefinition"]["resolvedDependencies"][1]["annotations"].clear()),
        (DERIVATION, lambda s: s["predicate"]["parents"][0]["digest"].update(sha256="ab" * 32)),
        (DERIVATION, lambda s: s["predicate"].update(relation="lora-merge")),
        (CORPUS, lambda s: s["predicate"]["licenses"].append("MIT")),
        (CORPUS, lambda s: s["predicate"].update(documentsRead=1)),
        (LINEAGE, lambda s: s["predicate"].update(result="PASSED", passedTests=["lineage", "another"])),
        (LINEAGE, lambda s: s["predicate"]["etymon_claims"].update(effect=0.5)),
        (
            "statements/evaluation-heldout.json",
            lambda s: s["predicate"]["etymon_claims"]["metrics"]["bits_per_byte"].update(n=1),
        ),
    ],
)
def test_a_statement_must_follow_from_its_artifacts(
    copied: Store, file: str, change: Callable[[dict[str, Any]], None]
) -> None:
    (found,) = restate(copied, change, file)
    assert "does not say what the artifacts say" in found.problem
    assert found.file == file


def replanted(store: Store, folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite a manifest so that digest and address follow from it again, and put the artifact where it then belongs."""

    def agree(manifest: dict[str, Any]) -> None:
        change(manifest)
        there = {name: folder / name for name in manifest["files"]}
        for name, path in there.items():
            manifest["files"][name] |= {"sha256": file_digest(path), "bytes": path.stat().st_size}
        manifest["digest"] = root_digest({n: each["sha256"] for n, each in manifest["files"].items() if not each["log"]})
        digests = {role: given["digest"] for role, given in manifest["inputs"].items()}
        manifest["address"] = address_of(manifest["stage"], manifest["stage_version"], manifest["meaning"], digests)

    edit(folder, agree)
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    folder.rename(folder.with_name(artifact_name(manifest["stage"], manifest["address"])))


def test_evidence_without_a_statement_of_training_is_found(copied: Store) -> None:
    folder = folder_of(copied, "evidence")
    other = (folder / "statements" / "evaluation-heldout.json").read_bytes()
    (folder / TRAINING).write_bytes(other)
    replanted(copied, folder, lambda manifest: None)
    assert [(each.file, "no statement of how" in each.problem) for each in findings(copied)] == [(TRAINING, True)]
    folder = folder_of(copied, "evidence")
    (folder / TRAINING).unlink()
    replanted(copied, folder, lambda manifest: manifest["files"].pop(TRAINING))
    assert [(each.file, "is missing" in each.problem) for each in findings(copied)] == [(TRAINING, True)]


@pytest.mark.parametrize("role", ["derivative", "corpus"])
def test_evidence_of_nothing_is_found(copied: Store, role: str) -> None:
    replanted(copied, folder_of(copied, "evidence"), lambda manifest: manifest["inputs"].pop(role))
    (found,) = findings(copied)
    assert f"made from no {role}" in found.problem


def test_a_record_that_names_another_part_or_run_is_found(copied: Store, run: Run, evidence: Artifact) -> None:
    folder = record_run(run, evidence, store=copied).folder
    edit(folder, lambda manifest: manifest["inputs"]["train"].update(label=run.corpus.name))
    (found,) = findings(copied)
    assert f"its train {run.corpus.name} has other content" in found.problem
    with pytest.raises(EtymonError, match="has lost its train"):
        find_run("tiny-docs", copied).derivative_and_evidence()
    edit(folder, lambda manifest: manifest["inputs"]["train"].update(label=run.derivative.name))
    edit(folder, lambda manifest: manifest["facts"].update(name="lamp"))
    (found,) = findings(copied)
    assert "another name than its recipe's, tiny-docs" in found.problem


def test_evidence_of_another_derivative_is_none_of_a_run(copied: Store, run: Run) -> None:
    scratch = run.derivative.manifest.model_copy(update={"digest": "ab" * 32})
    other = Run(run.store, run.foundation, run.corpus, replace(run.derivative, manifest=scratch), run.heldout, run.lineage)
    record_run(other, run.evidence(), store=copied)
    planted = find_run("tiny-docs", copied)
    forged = replace(planted, parts={**planted.parts, "train": other.derivative})
    with pytest.raises(EtymonError, match=f"is evidence of {run.derivative.name}"):
        forged.derivative_and_evidence()


def test_whatever_a_manifest_holds_is_a_finding(copied: Store, tmp_path: Path) -> None:
    """Numbers that JSON has not, names that no file can have, and a record that is nested or of another shape."""
    folder = folder_of(copied, "train")
    content = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).write_bytes(re.sub(rb'"meaning":\s*{', b'"meaning": {"x": NaN,', content))
    assert any(each.artifact == folder.name and "cannot be checked" in each.problem for each in findings(copied))
    (folder / MANIFEST).write_bytes(content)
    edit(folder, lambda manifest: manifest["files"].update({"x" * 300: manifest["files"]["loss.svg"]}))
    assert any(each.artifact == folder.name and "cannot be checked" in each.problem for each in findings(copied))
    (folder / MANIFEST).write_bytes(content)
    scores = folder_of(copied, "evaluate")
    for damage in (b"[" * 100_000, b'{"task": "heldout", "metrics": []}'):
        (scores / "task.json").write_bytes(damage)
        assert any((each.artifact, each.file) == (scores.name, "task.json") for each in findings(copied))


def test_a_statement_that_is_no_json_is_a_finding(copied: Store) -> None:
    path = folder_of(copied, "evidence") / TRAINING
    path.write_bytes(b"[" * 100_000)
    assert any("is not a statement" in each.problem for each in findings(copied))


def test_a_finding_reads_as_a_sentence(evidence: Artifact) -> None:
    finding = Finding("train-0123", "loss.svg", "is missing.", "Run again.")
    assert str(finding) == "train-0123/loss.svg: is missing. Run again."
