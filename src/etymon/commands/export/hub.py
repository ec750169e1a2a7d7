"""A finished derivative as a folder ready to be passed on: all that its licences ask for and all that shows what it is.

Nothing is written anew: every file is copied from the run's artifacts, and its digest compared with what they record.
"""

import json
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from etymon.commands.export.papers import Copy, Exported, copied, obligations_of, parts_of_run, refuse_filled, to_do
from etymon.evidence.bom import BOM, refuse_invalid
from etymon.evidence.folder import RECORD, TRAINED
from etymon.evidence.provenance import MODEL_FOLDER, model_digest
from etymon.recipe import Waiver
from etymon.store import Artifact, Store
from etymon.store.folders import make_folder
from etymon.waivers import Waived


def export_for_hub(name: str, folder: Path, store: Store, waivers: Sequence[Waiver] = ()) -> Exported:
    """Write what the Hugging Face hub takes: weights, tokenizer, card, licences, NOTICE, bill of materials, statements.

    ``name`` is a run. Raises EtymonError where there is something in ``folder``, an artifact is damaged, or an obligation is
    unmet that nobody answers for. The folder is there whole or not at all.
    """
    refuse_filled(folder)
    derivative, evidence = parts_of_run(name, store)
    obligations, waived = obligations_of(evidence, waivers)
    refuse_invalid(evidence.file(BOM).read_text("utf-8"), f"{evidence.name}/{BOM}")
    papers = [Copy(evidence.file(file), record, file) for file, record in sorted(evidence.manifest.files.items())]
    copies = [*papers, *_of_model(derivative, {RECORD, *evidence.manifest.files})]
    make_folder(folder.parent, "Name another place to export to.")
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as place:
        making = Path(place) / folder.name
        for copy in copies:
            copied(copy, making / copy.target)
        (making / RECORD).write_text(_record(derivative, evidence, copies, waived), "utf-8")
        if folder.exists():
            folder.rmdir()
        making.rename(folder)
    total = sum(copy.record.bytes for copy in copies)
    return Exported(folder, model_digest(derivative), len(copies) + 1, total, tuple(waived), tuple(to_do(obligations)))


def _of_model(derivative: Artifact, taken: Collection[str]) -> Iterator[Copy]:
    for file, record in sorted(derivative.manifest.files.items()):
        if file.startswith(MODEL_FOLDER):
            name = file.removeprefix(MODEL_FOLDER)
            yield Copy(derivative.file(file), record, TRAINED + name if name in taken else name)


def _record(derivative: Artifact, evidence: Artifact, copies: Sequence[Copy], waived: Sequence[Waived]) -> str:
    content = {
        "name": evidence.manifest.meaning["name"],
        "subject": model_digest(derivative),
        "evidence": {"name": evidence.name, "digest": evidence.digest},
        "waived": [each.model_dump() for each in waived],
        "files": {copy.target: copy.record.sha256 for copy in sorted(copies, key=lambda each: each.target)},
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
