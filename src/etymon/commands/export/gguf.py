"""A model as one GGUF file for llama.cpp, with its licences, its NOTICE and a record of what it was made from.

A run's papers are those of its evidence, and its obligations are looked at as for the hub. Any other model that can be opened
hands on the licence files that lie beside it.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etymon.commands.export.papers import Copy, Exported, copied, obligations_of, parts_of_run, refuse_filled, to_do
from etymon.errors import EtymonError
from etymon.evidence.folder import RECORD, stays_inside
from etymon.evidence.licences import find_licences, licence_text
from etymon.evidence.notice import LICENSE, LICENSES, is_licence_file, is_notice_file
from etymon.evidence.obligations import OBLIGATIONS
from etymon.evidence.provenance import MODEL_FOLDER
from etymon.foundation.card import CARD
from etymon.foundation.gguf.quantisation import Quantisation
from etymon.foundation.gguf.write import WrittenGguf, write_gguf
from etymon.foundation.model import DeclaredParent, Model
from etymon.progress import Clock, Listener, silent
from etymon.recipe import Waiver
from etymon.run import trained_model
from etymon.store import Artifact, Store
from etymon.store.artifact import FileRecord
from etymon.store.digest import file_digest
from etymon.store.folders import make_folder
from etymon.waivers import Waived
from etymon.workspace import find_model, find_run, runs

PAPERS = ".papers"
"""The folder beside ``mine.gguf`` is ``mine.papers``."""
_HUB = re.compile(r"hf:(?P<repository>(?P<organisation>[\w.-]+)/(?P<name>[\w.-]+))(?:@(?P<revision>[\w.-]+))?")


@dataclass(frozen=True)
class ExportedGguf:
    """What was written."""

    file: Path
    papers: Exported
    written: WrittenGguf


@dataclass(frozen=True)
class _Source:
    """What is exported, and the papers that go with it."""

    model: Model
    copies: tuple[Copy, ...]
    evidence: Artifact | None = None
    waived: tuple[Waived, ...] = ()
    to_do: tuple[str, ...] = ()


def export_gguf(
    name: str,
    target: Path | None,
    quantisation: Quantisation,
    store: Store,
    waivers: Sequence[Waiver] = (),
    listener: Listener = silent,
) -> ExportedGguf:
    """Write a GGUF of a run or of any model that can be opened.

    ``target`` is a folder for the file and its papers, by default one with the model's name; or the file, and then the papers
    lie in a folder beside it. Raises EtymonError where there is something already, a model cannot be written or was changed,
    or an obligation is unmet that nobody answers for. The file is there whole or not at all.
    """
    if target is not None:
        _refuse_taken(target)
    source = _source(name, store, waivers, listener)
    plain = re.sub(r"[^\w.-]", "_", source.model.name)
    target = target or Path(plain)
    _refuse_taken(target)
    alone = target.suffix == ".gguf"
    folder = target.with_suffix(PAPERS) if alone else target
    file = target if alone else folder / f"{plain}-{quantisation.value}.gguf"
    make_folder(folder.parent, "Name another place to export to.")
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as place:
        making, weights = Path(place) / folder.name, Path(place) / file.name
        making.mkdir()
        clock = Clock(listener, "export", f"writing {file.name}", total=source.model.facts.parameters, unit="parameters")
        written = write_gguf(source.model, weights, quantisation, _general(source.model, quantisation), clock)
        for copy in source.copies:
            copied(copy, making / copy.target)
        for target_name, text in _shipped(source).items():
            (making / target_name).write_text(text, "utf-8")
        _write_record(source, quantisation, written, making, weights)
        papers = [path for path in making.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in [*papers, weights])
        if not alone:
            weights.rename(making / file.name)
        if folder.exists():
            folder.rmdir()
        making.rename(folder)
        if alone:
            _place(weights, file)
    done = Exported(folder, source.model.digest, len(papers) + 1, size, source.waived, source.to_do)
    return ExportedGguf(file, done, written)


def _place(weights: Path, file: Path) -> None:
    """Under its name, unless something got that name meanwhile: renaming would overwrite it."""
    try:
        os.link(weights, file)
    except FileExistsError:
        raise EtymonError(
            f"{file} is there by now.", f"Move it away, and {file.with_suffix(PAPERS)}; then export again."
        ) from None
    except OSError:  # a file system without links
        weights.rename(file)


def _refuse_taken(target: Path) -> None:
    if target.suffix != ".gguf":
        refuse_filled(target)
        return
    refuse_filled(target.with_suffix(PAPERS))
    if target.exists():
        raise EtymonError(f"{target} is there already.", "Name another file, or move that one away.")


def _source(name: str, store: Store, waivers: Sequence[Waiver], listener: Listener) -> _Source:
    if not any(name in (record.name, record.facts["name"]) for record in runs(store)):
        if waivers:
            raise EtymonError(f"{name} is no run; only of runs are obligations looked at.", "Leave --waive out.")
        model = find_model(name, store, listener)
        return _Source(model, tuple(_beside(model)))
    derivative, evidence = parts_of_run(name, store)
    if damage := derivative.damage(store.digests):
        raise EtymonError("; ".join(damage) + ".", f"Remove {derivative.folder} and run the recipe again.")
    obligations, waived = obligations_of(evidence, waivers)
    found = {file: Copy(evidence.file(file), each, file) for file, each in evidence.manifest.files.items() if _is_paper(file)}
    for file, record in derivative.manifest.files.items():
        plain = file.removeprefix(MODEL_FOLDER)
        if file.startswith(MODEL_FOLDER) and _is_paper(plain):
            found.setdefault(plain, Copy(derivative.file(file), record, plain))
    copies = tuple(found[file] for file in sorted(found))
    model = trained_model(derivative, find_run(name, store).name, store)
    return _Source(model, copies, evidence, tuple(waived), tuple(to_do(obligations)))


def _is_paper(file: str) -> bool:
    """What goes with any form of a model. Statements and the bill of materials speak of the safetensors file by file."""
    if "/" in file:
        return file.startswith(f"{LICENSES}/")
    return file in (CARD, OBLIGATIONS) or is_licence_file(file) or is_notice_file(file)


def _beside(model: Model) -> Iterator[Copy]:
    """The card and the licence files of a model's folder."""
    for path in [*model.folder.iterdir(), *(model.folder / LICENSES).glob("*.txt")]:
        name = path.relative_to(model.folder).as_posix()
        if path.is_file() and _is_paper(name) and stays_inside(path, model.folder):
            yield Copy(path, FileRecord(sha256=file_digest(path), bytes=path.stat().st_size), name)


def _shipped(source: _Source) -> dict[str, str]:
    """The text of the model's licence, where nothing beside the model has it and it is known here."""
    if source.evidence or any(is_licence_file(copy.target) for copy in source.copies):
        return {}
    texts = [text for known in find_licences(source.model.facts.license) or () if (text := licence_text(known.name))]
    return {LICENSE: "\n\n".join(texts)} if texts else {}


def _general(model: Model, quantisation: Quantisation) -> dict[str, Any]:
    """What the file says of its origin: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, general metadata."""
    found: dict[str, Any] = {
        "general.description": f"Written as {quantisation.value} by Etymon from the model with the digest {model.digest}.",
        "etymon.model.digest": model.digest,
    }
    if model.facts.license:
        found["general.license"] = model.facts.license
    if model.facts.parents:
        found["general.base_model.count"] = len(model.facts.parents)
    for row, parent in enumerate(model.facts.parents):
        found |= {f"general.base_model.{row}.{key}": value for key, value in _base(parent).items()}
    return found


def _base(parent: DeclaredParent) -> dict[str, str]:
    match = _HUB.fullmatch(parent.uri)
    if match is None:
        return {"name": parent.uri}
    found = {"name": match["name"], "organization": match["organisation"]}
    found |= {"version": match["revision"]} if match["revision"] else {}
    return found | {"repo_url": f"https://huggingface.co/{match['repository']}"}


def _write_record(source: _Source, quantisation: Quantisation, written: WrittenGguf, folder: Path, weights: Path) -> None:
    model, evidence = source.model, source.evidence
    files = {path.relative_to(folder).as_posix(): file_digest(path) for path in folder.rglob("*") if path.is_file()}
    content = {
        "name": model.name,
        "subject": model.digest,
        "evidence": {"name": evidence.name, "digest": evidence.digest} if evidence else None,
        "relation": "quantize",
        "quantisation": quantisation.value,
        "stored_types": written.stored_types,
        "notes": list(written.notes),
        "waived": [each.model_dump() for each in source.waived],
        "files": dict(sorted({**files, weights.name: file_digest(weights)}.items())),
    }
    (folder / RECORD).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
