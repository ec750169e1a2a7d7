"""The bill of materials once more, as SPDX 3.0.1 with the AI and dataset profiles.

Format: https://spdx.github.io/spdx-spec/v3.0.1/; objects of the SPDX project's own bindings, which hold every value against
the model's SHACL shapes as it is set and when the whole is written. It is deterministic, and follows from artifacts.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, count
from typing import Any
from urllib.parse import quote

from cyclonedx.spdx import fixup_id, is_expression
from spdx_python_model import v3_0_1 as spdx

from etymon.evidence.licences import find_licence
from etymon.evidence.materials import Used
from etymon.evidence.provenance import MODEL_FOLDER, model_digest, model_files, package_url
from etymon.foundation.model import Model
from etymon.store import Artifact

SPDX = "bom.spdx.json"
_JOULES_PER_KILOWATT_HOUR = 3.6e6


def spdx_document(
    name: str,
    derivative: Artifact,
    foundation: Model,
    corpus: Artifact,
    used: Sequence[Used],
    evaluations: Mapping[str, Artifact],
) -> str:
    """The whole ``bom.spdx.json`` of ``derivative``, called ``name``; ``evaluations`` are its own, by task."""
    document = _Document(name, derivative)
    model = document.package(
        spdx.ai_AIPackage,
        name,
        None,
        foundation.facts.license,
        software_packageVersion=model_digest(derivative)[:12],
        comment=f"Root digest of the files (OpenSSF Model Signing): {model_digest(derivative)}",
        ai_typeOfModel=[foundation.facts.model_type],
        ai_informationAboutTraining=f"Trained further from {foundation.name} on {corpus.name}.",
        ai_limitation="What the foundation learned, its faults included, is inherited.",
        ai_hyperparameter=_entries(derivative.manifest.meaning.get("settings", {})),
        ai_metric=list(_metrics(evaluations)),
    )
    if (joules := derivative.facts.get("energy_joules")) is not None:
        model.ai_energyConsumption = _energy(float(joules))
    document.files(model, {file.removeprefix(MODEL_FOLDER): sha for file, sha in model_files(derivative).items()})
    base = document.model(foundation.name, foundation.facts.source, foundation.facts.license, foundation.digest)
    document.files(base, foundation.facts.files)
    document.relate(model, "descendantOf", [base])
    parents = {each.uri: None for each in foundation.facts.parents} | {
        each.name: each.license for each in used if each.role == "parent"
    }
    document.relate(base, "descendantOf", [document.model(uri, uri, license) for uri, license in parents.items()])
    data = document.data(corpus.name, None, comment=f"Root digest: {corpus.digest}")
    document.relate(model, "trainedOn", [data])
    sources = [each for each in used if each.role == "source"]
    writers = {(each.belongs_to, each.through): each for each in used if each.role == "generator"}
    for each in sources:
        writer = writers.get((each.belongs_to, each.through)) if not each.through else None
        source = document.source(each, writer)
        document.relate(base if each.through else data, "trainedOn" if each.through else "descendantOf", [source])
    return document.written(model)


class _Document:
    """The elements so far; ids follow from the model's digest, so that the same artifacts give the same bytes."""

    def __init__(self, name: str, derivative: Artifact) -> None:
        self._name, self._base, self._taken = name, f"urn:etymon:spdx:{model_digest(derivative)}", set[str]()
        self._objects, self._licences = spdx.SHACLObjectSet(), dict[str, Any]()
        self._elements: list[Any] = []
        self._creation = spdx.CreationInfo(
            _id="_:creation",
            specVersion="3.0.1",
            created=datetime.fromisoformat(derivative.manifest.created).replace(microsecond=0),
        )
        maker = self._add(spdx.SoftwareAgent, "agent", "etymon", name="etymon")
        self._creation.createdBy = [maker]

    def _add(self, kind: Any, what: str, key: str, **fields: Any) -> Any:
        made = kind(_id=self._id(what, key), creationInfo=self._creation)
        for field, value in fields.items():
            if value not in (None, []):
                setattr(made, field, value)
        self._objects.add(made)
        self._elements.append(made)
        return made

    def _id(self, what: str, key: str) -> str:
        plain = f"{self._base}:{what}:{quote(key, safe='')}"
        unique = next(each for each in chain([plain], (f"{plain}:{n}" for n in count(2))) if each not in self._taken)
        self._taken.add(unique)
        return unique

    def package(self, kind: Any, name: str, source: str | None, license: str | None, **fields: Any) -> Any:
        """A model or data with its licence; what the two profiles want concluded is left open, for nobody here concludes."""
        made = self._add(kind, "package", name, name=name, **fields)
        if source and (url := package_url(source)):
            made.software_packageUrl = url
        self.relate(made, "hasDeclaredLicense", [self._licence(license)])
        self.relate(made, "hasConcludedLicense", [self._licence(None)])
        return made

    def model(self, name: str, source: str, license: str | None, digest: str | None = None) -> Any:
        comment = f"Root digest of the files (OpenSSF Model Signing): {digest}" if digest else None
        return self.package(spdx.ai_AIPackage, name, source, license, comment=comment)

    def data(self, name: str, license: str | None, **fields: Any) -> Any:
        kind, text = spdx.dataset_DatasetPackage, [spdx.dataset_DatasetType.text]
        return self.package(kind, name, None, license, dataset_datasetType=text, **fields)

    def source(self, used: Used, writer: Used | None) -> Any:
        said = [f"Origin: {used.origin}." if used.origin else "", f"Written by the model {writer.name}." if writer else ""]
        return self.data(used.name, used.license, dataset_dataCollectionProcess=" ".join(filter(None, said)) or None)

    def files(self, package: Any, digests: Mapping[str, str]) -> None:
        def file(name: str, sha256: str) -> Any:
            check = [spdx.Hash(algorithm=spdx.HashAlgorithm.sha256, hashValue=sha256)]
            return self._add(spdx.software_File, "file", f"{package.name}/{name}", name=name, verifiedUsing=check)

        self.relate(package, "contains", [file(name, sha256) for name, sha256 in sorted(digests.items())])

    def relate(self, one: Any, how: str, others: Sequence[Any]) -> None:
        if others:
            kind = getattr(spdx.RelationshipType, how)
            self._add(spdx.Relationship, how, one.name, from_=one, relationshipType=kind, to=list(others))

    def _licence(self, license: str | None) -> Any:
        """An expression of the SPDX list, or a reference with the address of the text; of none, nothing is asserted."""
        if not license:
            return spdx.expandedlicensing_IndividualLicensingInfo.NoAssertionLicense
        if license not in self._licences:
            known = find_licence(license)
            listed = fixup_id(license) or (license if is_expression(license) else None)
            fields: dict[str, Any] = {"simplelicensing_licenseExpression": listed}
            if listed is None:
                reference = f"LicenseRef-{re.sub('[^A-Za-z0-9.-]', '-', known.name if known else license)}"
                text = f"See {known.licence.text}" if known and known.licence.text else "The text is not known here."
                custom = self._add(
                    spdx.simplelicensing_SimpleLicensingText, "text", license, name=license, simplelicensing_licenseText=text
                )
                mapping = spdx.DictionaryEntry(key=reference, value=custom._id)
                fields = {"simplelicensing_licenseExpression": reference, "simplelicensing_customIdToUri": [mapping]}
            self._licences[license] = self._add(spdx.simplelicensing_LicenseExpression, "licence", license, **fields)
        return self._licences[license]

    def written(self, root: Any) -> str:
        """The document around them, as JSON-LD. The bindings refuse what the shapes do not allow."""
        profiles = [
            getattr(spdx.ProfileIdentifierType, each) for each in ("core", "software", "ai", "dataset", "simpleLicensing")
        ]
        listed = list(self._elements)
        self._add(
            spdx.SpdxDocument, "document", self._name,
            name=self._name, rootElement=[root], element=listed, profileConformance=profiles,
        )  # fmt: skip
        content = spdx.JSONLDSerializer().serialize_data(self._objects)
        return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _entries(values: Mapping[str, Any]) -> list[Any]:
    plain = {key: value for key, value in values.items() if isinstance(value, str | int | float)}
    return [spdx.DictionaryEntry(key=key, value=str(value)) for key, value in plain.items()]


def _metrics(evaluations: Mapping[str, Artifact]) -> Iterator[Any]:
    for task, artifact in sorted(evaluations.items()):
        for metric, figure in artifact.read_json("task.json")["metrics"].items():
            interval = [repr(figure[end]) for end in ("low", "high") if figure[end] is not None]
            told = f"{figure['score']!r}, {figure['n']} items" + (
                f", 95% interval {' to '.join(interval)}" if interval else ""
            )
            yield spdx.DictionaryEntry(key=f"{task}: {metric}", value=told)


def _energy(joules: float) -> Any:
    spent = round(joules / _JOULES_PER_KILOWATT_HOUR, 9)
    unit = spdx.ai_EnergyUnitType.kilowattHour
    return spdx.ai_EnergyConsumption(
        ai_finetuningEnergyConsumption=[spdx.ai_EnergyConsumptionDescription(ai_energyQuantity=spent, ai_energyUnit=unit)]
    )
