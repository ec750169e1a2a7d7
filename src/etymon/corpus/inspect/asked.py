"""Whether a corpus is the one that a recipe asks for now: told without building it.

Nothing is fetched, so files of sources that lie elsewhere (``hf:``, URLs) are not compared; nor are tasks of a suite or in
files, whose names are known once they are loaded, nor the tokenizer that a mixture counts by.
"""

from pathlib import Path
from typing import Any

from etymon.corpus.build import documents_meaning
from etymon.corpus.duplicates.existing import existing_files
from etymon.corpus.policy.check import Declaration, declarations, is_address
from etymon.corpus.policy.load import load_policy
from etymon.corpus.policy.policy import Policy
from etymon.corpus.sources.find import corpus_inputs
from etymon.errors import EtymonError
from etymon.recipe import Corpus, Recipe, Source
from etymon.store import Artifact, DigestCache

Parts = dict[str, Any]
"""What decides a corpus, by the words that a reader knows it by."""


def asked_parts(recipe: Recipe, folder: Path, digests: DigestCache) -> Parts:
    """What a recipe in a folder asks for. Raises EtymonError where its data policy cannot be read."""
    asked, policy = recipe.corpus, load_policy(recipe.corpus.data_policy, folder)
    meaning = documents_meaning(asked).model_dump(mode="json")
    parts: Parts = {
        "corpus.sources": (declarations(asked), meaning["sources"]),
        "corpus.data_policy": policy,
        "corpus.mix": asked.mix.model_dump(mode="json") if asked.mix else None,
        "corpus.heldout": asked.heldout.share,
        "corpus.seed": asked.seed,
        "corpus.against": [_digest(file, digests) for each in asked.against for file in _existing(_place(folder, each))],
        "corpus.decontaminate": [_digest(_place(folder, each), digests) for each in asked.decontaminate],
    }
    if asked.waivers:  # others may have been given to the build, and none that covers nothing
        parts["corpus.waivers"] = sorted({(each.rule, each.reason) for each in asked.waivers})
    tasks = sorted(task for task in recipe.evaluate.named_tasks if task != "heldout")
    if policy.evaluation_items == "drop" and not recipe.evaluate.suite and not any(Path(task).suffix for task in tasks):
        parts["evaluate.tasks"] = tasks
    local = [source for source in asked.sources if not is_address(source.path)]
    return parts | {_files_of(source.name): _files(asked, source, folder, digests) for source in local}


def built_parts(corpus: Artifact, documents: Artifact, overlaps: Artifact | None) -> Parts:
    """What a corpus was made from."""
    meaning, items = corpus.manifest.meaning, overlaps.manifest.inputs if overlaps else {}
    against = sorted(role for role in corpus.manifest.inputs if role.startswith("against/"))
    parts: Parts = {
        "corpus.sources": (
            tuple(Declaration.model_validate(each) for each in meaning["sources"]),
            documents.manifest.meaning["sources"],
        ),
        "corpus.data_policy": Policy.model_validate(meaning["policy"]),
        "corpus.mix": meaning["mix"],
        "corpus.heldout": meaning["heldout_share"],
        "corpus.seed": meaning["seed"],
        "corpus.waivers": sorted({(each["rule"], each["reason"]) for each in meaning["waived"]}),
        "corpus.against": [corpus.manifest.inputs[role].digest for role in against],
        "corpus.decontaminate": [items[role].digest for role in sorted(items) if role.startswith("file/")],
        "evaluate.tasks": sorted(role.removeprefix("items/") for role in items if role.startswith("items/")),
    }
    return parts | {_files_of(name): given.digest for name, given in documents.manifest.inputs.items()}


def differences(asked: Parts, built: Parts) -> tuple[str, ...]:
    """What is another; the files of a source that one of them does not have are told by ``corpus.sources``."""
    return tuple(name for name in asked if asked[name] != built.get(name, asked[name]))


def _files_of(source: str) -> str:
    return f"the files of {source}"


def _files(asked: Corpus, source: Source, folder: Path, digests: DigestCache) -> str | None:
    alone = asked.model_copy(update={"sources": (source,)})
    try:
        return corpus_inputs(alone, folder, digests)[source.name].digest
    except EtymonError:
        return None  # they are gone


def _existing(path: Path) -> list[Path]:
    try:
        return existing_files(path)
    except EtymonError:
        return [path]


def _digest(path: Path, digests: DigestCache) -> str | None:
    try:
        return digests.file(path)
    except OSError:
        return None


def _place(folder: Path, written: str) -> Path:
    return folder / Path(written).expanduser()
