"""The card of a corpus: Croissant metadata (MLCommons, version 1.0) with the fields of its responsible-AI vocabulary.

It says where the data came from, what was done with it, what of it may be personal, and where the policy was waived. Loaders
of Croissant read the corpus by it; nothing in it depends on when or where it was written.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from etymon.corpus.composition import Composition
from etymon.corpus.policy.check import Declaration, SourceSample
from etymon.corpus.policy.policy import Policy
from etymon.corpus.reasons import NEAR, meaning_of
from etymon.corpus.signals.kinds import COUNTS
from etymon.store import file_digest
from etymon.text.counted import counted
from etymon.waivers import Waived

CARD = "croissant.json"
_SIDES = {"train": "to learn from", "heldout": "held out to measure on"}
_TYPES = {pa.string(): "sc:Text", pa.large_string(): "sc:Text", pa.int32(): "sc:Integer", pa.int64(): "sc:Integer"}
# The context that the specification gives, and a vocabulary of our own for counts, as plain JSON.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "conformsTo": "dct:conformsTo",
    **{
        name: f"cr:{name}"
        for name in (
            "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
            "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
            "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
        )
    },
    "etymon": "urn:etymon:",
    "composition": {"@id": "etymon:composition", "@type": "@json"},
    "sources": {"@id": "etymon:sources", "@type": "@json"},
    "waived": {"@id": "etymon:waived", "@type": "@json"},
}  # fmt: skip


def write_croissant(
    folder: Path,
    *,
    sources: Sequence[Declaration],
    policy: Policy,
    waived: Sequence[Waived],
    composition: Composition,
    drops: Mapping[str, int],
    personal: Mapping[str, int],
    looked_into: Sequence[SourceSample] = (),
) -> Path:
    """Write ``croissant.json`` beside ``train.parquet`` and ``heldout.parquet``, which must be there.

    ``drops`` counts documents and files by the reason for which they were left out. ``personal`` counts what was found in the
    documents that are kept, by the signals of ``COUNTS``. ``looked_into``: the sources that were sampled for illegal content.
    """
    kept = composition.kept
    licenses = sorted({part.license for part in composition.parts if part.train.documents or part.heldout.documents})
    names = [each.source for each in sources]
    card: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": "-".join(["corpus", *names])[:100],
        "description": f"{counted(kept.documents, 'document')} ({kept.characters:,} characters, {kept.words:,} words) from "
        f"{', '.join(names)}, curated by the data policy {policy.name} for training a language model.",
        "license": licenses,
        "inLanguage": [share.name for share in composition.languages],
        "distribution": [_file_object(folder / f"{side}.parquet") for side in _SIDES],
        "recordSet": [_record_set(folder / f"{side}.parquet", side) for side in _SIDES],
        "rai:dataCollection": "\n".join(map(_collection, sources)),
        "rai:dataCollectionTimeFrame": _time_frame(sources),
        "rai:dataPreprocessingProtocol": _preprocessing(policy, drops, looked_into),
        "rai:personalSensitiveInformation": _personal(sources, policy, personal),
        "rai:dataLimitations": _limitations(composition, waived),
        "composition": composition.model_dump(mode="json"),
        "sources": [each.model_dump(mode="json") for each in sources],
        "waived": [each.model_dump(mode="json") for each in waived],
    }
    path = folder / CARD
    path.write_text(json.dumps({key: value for key, value in card.items() if value}, ensure_ascii=False, indent=1), "utf-8")
    return path


def _file_object(path: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file_digest(path),
    }


def _record_set(path: Path, side: str) -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{side}/{column.name}",
            "name": column.name,
            "dataType": _TYPES[column.type],
            "source": {"fileObject": {"@id": path.name}, "extract": {"column": column.name}},
        }
        for column in parquet.read_schema(path)
    ]
    rows = parquet.read_metadata(path).num_rows
    description = f"{counted(rows, 'document')} {_SIDES[side]}."
    return {"@type": "cr:RecordSet", "@id": side, "name": side, "description": description, "field": fields}


def _collection(source: Declaration) -> str:
    """What a source declares, in one line."""
    said = [f"licence {source.license}", f"from {source.origin}" if source.origin else "origin not declared"]
    if source.collected:
        said.append(f"collected {source.collected['from']} to {source.collected['to']}")
    if source.evidence:
        place = source.evidence.get("path") or source.evidence["url"]
        said.append(f"evidence {place} (SHA-256 {source.evidence['sha256']})")
    return f"{source.source} ({source.kind}): {'; '.join(said)}."


def _time_frame(sources: Iterable[Declaration]) -> list[str]:
    collected = [source.collected for source in sources if source.collected]
    return [min(each["from"] for each in collected), max(each["to"] for each in collected)] if collected else []


def _preprocessing(policy: Policy, drops: Mapping[str, int], looked_into: Iterable[SourceSample]) -> list[str]:
    """What was done to the documents, and how many each step left out."""
    near = policy.near_duplicates
    bounds = {NEAR: f"{near.ngram}-grams of words with a Jaccard similarity of {near.similarity:g} and more"}
    for rule in policy.all_rules:
        bounds[rule.reason] = f"{bounds[rule.reason]}, or {rule}" if rule.reason in bounds else f"{rule}"
    steps = [f"Data policy {policy.name}: {policy.description}"] if policy.description else []
    steps.append("Broken encodings were mended and texts brought to NFC; line ends and trailing white space were unified.")
    if policy.personal_data.masked:
        steps.append(f"Replaced by placeholders: {', '.join(policy.personal_data.masked)}.")
    steps += [f"Looked for illegal content, by a sample. {each}." for each in looked_into]
    for reason, count in drops.items():
        said = bounds.get(reason) or meaning_of(reason)
        steps.append(f"Left out as {reason}{f' ({said})' if said else ''}: {count:,}.")
    return steps


def _personal(sources: Iterable[Declaration], policy: Policy, personal: Mapping[str, int]) -> list[str]:
    """On what ground personal data is there, and what was found of it."""
    grounds = [f"{source.source}: ground {source.personal_data}." for source in sources if source.personal_data]
    masked = [COUNTS[kind] for kind in policy.personal_data.masked]
    found = [
        f"{name.replace('_', ' ')}: {personal.get(name, 0):,} found, {'masked' if name in masked else 'left as they are'}."
        for name in COUNTS.values()
        if policy.personal_data.action != "drop" or personal.get(name)
    ]
    return [*grounds, *found, "Found by patterns and validators; names and postal addresses are not looked for."]


def _limitations(composition: Composition, waived: Sequence[Waived]) -> list[str]:
    said = [
        f"The rule {each.rule} was waived for {each.source}: {each.found}. Reason given: {each.reason}" for each in waived
    ]
    if composition.undated.documents:
        said.append(f"{counted(composition.undated.documents, 'document')} without a date.")
    if composition.undomained.documents:
        said.append(f"{counted(composition.undomained.documents, 'document')} without an address.")
    return said
