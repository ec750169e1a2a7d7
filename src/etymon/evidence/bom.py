"""The bill of materials: CycloneDX 1.6 with a machine-learning model, its pedigree, model card, data, figures and licences.

Format: https://cyclonedx.org/docs/1.6/json/. The library (cyclonedx-python-lib) has no class for model cards, so the JSON is
written here; ``refuse_invalid`` holds it against the schema that the library ships. It is deterministic.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.spdx import fixup_id, is_expression

from etymon.errors import EtymonError
from etymon.evidence.licences import find_licence
from etymon.evidence.materials import Used
from etymon.evidence.provenance import MODEL_FOLDER, model_digest, model_files, package_url
from etymon.foundation.model import Model
from etymon.store import Artifact

BOM = "bom.cdx.json"
_ROOT = "etymon:root-digest"
_NOT_LIBRARIES = ("python", "system", "machine", "etymon", "cpus", "instruction_set")
_REPLACED = (f"{MODEL_FOLDER}README.md", f"{MODEL_FOLDER}NOTICE")
"""Beside this bill lie fuller ones."""
_LIMITS = (
    "The intervals cover the choice of items, not the chance in training.",
    "What the foundation learned, its faults included, is inherited.",
)


def bill_of_materials(
    name: str,
    derivative: Artifact,
    foundation: Model,
    corpus: Artifact,
    used: Sequence[Used],
    evaluations: Mapping[str, Artifact],
    lineage: Artifact | None,
    attestations: Sequence[str] = (),
) -> str:
    """The whole ``bom.cdx.json`` of ``derivative``, called ``name``.

    ``evaluations`` are the derivative's, by task; ``attestations`` are paths beside the bill.
    """
    subject = model_digest(derivative)
    parent = _foundation(foundation, used)
    data = _corpus(corpus, used)
    model = {
        "type": "machine-learning-model",
        "bom-ref": name,
        "name": name,
        "version": subject[:12],
        "description": f"{foundation.name}, trained further on {corpus.name}.",
        "licenses": _licenses(foundation.facts.license),
        "externalReferences": [
            {"type": "model-card", "url": "README.md"},
            *({"type": "attestation", "url": path} for path in attestations),
        ],
        "properties": _properties({_ROOT: subject, **_verdict(lineage)}),
        "components": [_file(file, sha) for file, sha in sorted(model_files(derivative).items()) if file not in _REPLACED],
        "pedigree": {"ancestors": [parent], "notes": _pedigree_notes(derivative, lineage)},
        "modelCard": _model_card(derivative, foundation, data, evaluations),
    }
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'urn:etymon:bom:{name}:{subject}')}",
        "version": 1,
        "metadata": {
            "timestamp": derivative.manifest.created,
            "tools": {"components": _tools(derivative.manifest.environment)},
            "component": model,
        },
        "components": data,
        "dependencies": [
            {"ref": name, "dependsOn": [parent["bom-ref"], corpus.name]},
            {"ref": corpus.name, "dependsOn": [each["bom-ref"] for each in data[1:]]},
        ],
    }
    return json.dumps(bill, ensure_ascii=False, indent=1) + "\n"


def refuse_invalid(bill: str, file: str) -> None:
    """Hold a bill against the schema; it takes a second or two. Raises EtymonError that names the place in ``file``."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill):
        where = ".".join(map(str, error.data.absolute_path)) or "the whole"
        raise EtymonError(
            f"{file} is not a CycloneDX 1.6 bill of materials: {where}: {error.data.message[:200]}.",
            "Run the recipe again; the evidence is written anew.",
        )


def _foundation(model: Model, used: Sequence[Used]) -> dict[str, Any]:
    """The foundation as an ancestor, with the parents that it declares as its own."""
    known = {each.name: each.license for each in used if each.role == "parent"}
    names = dict.fromkeys([*(each.uri for each in model.facts.parents), *known])
    parents = [_present({**_named(name), "licenses": _licenses(known.get(name))}) for name in names]
    learned = [_learned(each) for each in used if each.role == "source" and each.through]
    return _present(
        {
            **_named(model.name, model.facts.source),
            "bom-ref": f"foundation:{model.name}",
            "licenses": _licenses(model.facts.license),
            "properties": _properties({_ROOT: model.digest}),
            "components": [_file(file, sha) for file, sha in sorted(model.facts.files.items())],
            "pedigree": {"ancestors": parents} if parents else None,
            "modelCard": {"modelParameters": {"datasets": learned}} if learned else None,
        }
    )


def _learned(source: Used) -> dict[str, Any]:
    """What the foundation, or what that is derived from, was trained on."""
    properties = _properties({"etymon:licence": source.license, "etymon:origin": source.origin})
    return {"type": "dataset", "name": source.name, "contents": {"properties": properties}}


def _named(name: str, source: str = "") -> dict[str, Any]:
    plain = {"type": "machine-learning-model", "name": name}
    url = package_url(source or name)
    return plain | ({"purl": url} if url else {})


def _corpus(corpus: Artifact, used: Sequence[Used]) -> list[dict[str, Any]]:
    """The corpus, then its sources, as data."""
    facts = corpus.facts
    writers = {each.belongs_to: each for each in used if each.role == "generator" and not each.through}
    declared = {each["source"]: each for each in facts.get("sources_declared", [])}
    digests, documents = facts.get("source_digests", {}), facts.get("sources", {})
    files = [_file(file, record.sha256) for file, record in sorted(corpus.manifest.files.items()) if not record.log]
    parts = [_data(corpus.name, corpus.name, None, {_ROOT: corpus.digest, "etymon:curated-from": ", ".join(declared)})]
    parts[0]["components"] = files
    for source in (each for each in used if each.role == "source" and not each.through):
        says = declared.get(source.name, {})
        writer = writers.get(source.name)
        properties = {
            _ROOT: digests.get(source.name),
            "etymon:documents": documents.get(source.name),
            "etymon:origin": source.origin,
            "etymon:personal-data": says.get("personal_data"),
            "etymon:collected": " to ".join((says.get("collected") or {}).values()),
            "etymon:language": says.get("language"),
            "etymon:generated-by": f"{writer.name} ({writer.license or 'licence unknown'})" if writer else None,
        }
        parts.append(_data(f"source:{source.name}", source.name, source.license, properties))
    return parts


def _data(ref: str, name: str, license: str | None, properties: Mapping[str, Any]) -> dict[str, Any]:
    return _present(
        {
            "type": "data",
            "bom-ref": ref,
            "name": name,
            "licenses": _licenses(license),
            "properties": _properties(properties),
            "data": [{"type": "dataset", "name": name}],
        }
    )


def _model_card(
    derivative: Artifact, foundation: Model, data: Sequence[Mapping[str, Any]], evaluations: Mapping[str, Artifact]
) -> dict[str, Any]:
    objective = derivative.manifest.meaning.get("settings", {}).get("objective", "pretrain")
    metrics = [metric for task, artifact in sorted(evaluations.items()) for metric in _metrics(task, artifact)]
    return _present(
        {
            "modelParameters": {
                "approach": {"type": "self-supervised" if objective == "pretrain" else "supervised"},
                "task": "text-generation",
                "architectureFamily": foundation.facts.model_type,
                "modelArchitecture": foundation.facts.architecture,
                "datasets": [{"ref": each["bom-ref"]} for each in data],
                "inputs": [{"format": "text"}],
                "outputs": [{"format": "text"}],
            },
            "quantitativeAnalysis": {"performanceMetrics": metrics} if metrics else None,
            "considerations": {"technicalLimitations": list(_LIMITS)},
        }
    )


def _metrics(task: str, evaluation: Artifact) -> list[dict[str, Any]]:
    found = []
    for metric, figure in evaluation.read_json("task.json")["metrics"].items():
        bounds = {"lowerBound": figure["low"], "upperBound": figure["high"]}
        interval = {key: repr(value) for key, value in bounds.items() if value is not None and math.isfinite(value)}
        value = {"type": metric, "value": repr(figure["score"]), "slice": f"{task}, {figure['n']} items"}
        found.append(_present({**value, "confidenceInterval": interval}))
    return found


def _pedigree_notes(derivative: Artifact, lineage: Artifact | None) -> str:
    settings = derivative.manifest.meaning.get("settings", {})
    notes = f"Trained further with {settings.get('objective', 'an unrecorded objective')}, method {settings.get('method')}."
    verdict = lineage.facts.get("verdict") if lineage else None
    return notes + (
        f" By the weights alone, the two are {verdict}." if verdict else " The relation is declared, not measured."
    )


def _verdict(lineage: Artifact | None) -> dict[str, Any]:
    facts = lineage.facts if lineage else {}
    return {f"etymon:lineage-{key.replace('_', '-')}": facts.get(key) for key in ("verdict", "p_value", "direction")}


def _tools(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Etymon and the libraries that the training ran with."""
    libraries = {
        name: version.partition("+")[0]
        for name, version in environment.items()
        if name not in _NOT_LIBRARIES and not name.isupper()  # upper case: a variable of the shell
    }
    return [
        {"type": "application", "name": "etymon", "version": environment.get("etymon", "unknown")},
        *(
            {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}
            for name, version in sorted(libraries.items())
        ),
    ]


def _licenses(license: str | None) -> list[dict[str, Any]]:
    """As the format has them: an SPDX identifier, an SPDX expression, or a name with the address of its text."""
    if not license:
        return []
    if spdx := fixup_id(license):
        return [{"license": {"id": spdx}}]
    if any(word in license.split() for word in ("AND", "OR", "WITH")) and is_expression(license):
        return [{"expression": license}]
    known = find_licence(license)
    named = {"name": known.name if known else license}
    return [{"license": named | ({"url": known.licence.text} if known and known.licence.text else {})}]


def _file(name: str, sha256: str) -> dict[str, Any]:
    plain = name.removeprefix(MODEL_FOLDER)
    return {"type": "file", "name": plain, "hashes": [{"alg": "SHA-256", "content": sha256}]}


def _properties(values: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": key, "value": str(value)} for key, value in values.items() if value not in (None, "")]


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty."""
    return {key: value for key, value in fields.items() if value not in (None, [], {}, "")}
