"""The statement of a training run: what the weights are, what they were made from and how.

Written from the manifests of the run that did the work and the foundation's facts, from nothing else.
"""

import re
from collections.abc import Callable, Iterable
from urllib.parse import quote

from etymon.errors import EtymonError
from etymon.evidence.predicates import (
    BuildDefinition,
    Builder,
    Digest,
    Metadata,
    Provenance,
    Resource,
    RunDetails,
    TrainingStatement,
)
from etymon.foundation.model import Model
from etymon.store import Artifact, root_digest
from etymon.store.artifact import InputRecord

BUILD_TYPE = "urn:etymon:train"
"""Followed by the stage's version. The settings under ``externalParameters`` are those of the recipe's ``train`` section."""
MODEL_FOLDER = "model/"
ROOT = "OpenSSF Model Signing root: SHA-256 over the raw SHA-256 digests of the files, in the order of their names"


def model_files(derivative: Artifact) -> dict[str, str]:
    """SHA-256 of every file of the derivative's model, by its name in the artifact, as the manifest has them."""
    return {name: record.sha256 for name, record in derivative.manifest.files.items() if name.startswith(MODEL_FOLDER)}


def model_digest(derivative: Artifact) -> str:
    """Root digest of the derivative's model: what a signature of the model's folder would cover."""
    files = model_files(derivative)
    if not files:
        raise EtymonError(f"{derivative.name} holds no model: it has no file below {MODEL_FOLDER}.", "Train it again.")
    return root_digest(files)


def origins_among(artifacts: Iterable[Artifact]) -> Callable[[InputRecord], Artifact | None]:
    """What finds the artifact that an input is, or whose model it is; of several with the same content that of its name."""
    given = list(artifacts)
    by_name = {each.name: each for each in given}
    by_digest = {model_digest(each): each for each in given if model_files(each)} | {each.digest: each for each in given}

    def find(record: InputRecord) -> Artifact | None:
        named = by_name.get(record.label)
        return named if named and named.digest == record.digest else by_digest.get(record.digest)

    return find


def training_statement(name: str, derivative: Artifact, foundation: Resource, corpus: Artifact) -> TrainingStatement:
    """The provenance of ``derivative``, called ``name``. Raises EtymonError where it was not made from these two."""
    manifest = derivative.manifest
    for role, label, digest in (
        ("foundation", foundation.name, foundation.digest.sha256),
        ("corpus", corpus.name, corpus.digest),
    ):
        record = manifest.inputs.get(role)
        if record is None or record.digest != digest:
            raise EtymonError(
                f"{derivative.name} was not made from the {role} {label}: its manifest records "
                + (f"{record.label} with digest {record.digest[:16]}…, not {digest[:16]}…." if record else "none."),
                "Evidence is written of what was done only; run the recipe again.",
            )
    return TrainingStatement(
        subject=(
            model_resource(name, derivative),
            *(Resource(name=file, digest=Digest(sha256=sha)) for file, sha in sorted(model_files(derivative).items())),
        ),
        predicate=Provenance(
            build_definition=BuildDefinition(
                build_type=f"{BUILD_TYPE}:{manifest.stage_version}",
                external_parameters=manifest.meaning,
                internal_parameters={"execution": manifest.execution, "environment": manifest.environment},
                resolved_dependencies=(foundation, _corpus(corpus)),
            ),
            run_details=RunDetails(
                builder=Builder(id="urn:etymon", version={"etymon": manifest.environment.get("etymon", "unknown")}),
                metadata=Metadata(invocation_id=derivative.name, finished_on=manifest.created),
                byproducts=tuple(
                    Resource(name=file, digest=Digest(sha256=record.sha256))
                    for file, record in sorted(manifest.files.items())
                    if not file.startswith(MODEL_FOLDER)
                ),
            ),
        ),
    )


def model_resource(name: str, derivative: Artifact) -> Resource:
    """The subject of every statement about a model."""
    return Resource(name=name, digest=Digest(sha256=model_digest(derivative)), annotations={"digest": ROOT})


def foundation_resource(model: Model) -> Resource:
    """A foundation as statements name it."""
    facts = model.facts
    return Resource(
        name=model.name,
        uri=package_url(facts.source),
        digest=Digest(sha256=model.digest),
        annotations={
            "role": "foundation",
            "digest": ROOT,
            "license": facts.license or "not declared",
            "declaredParents": [parent.model_dump(mode="json") for parent in facts.parents],
        },
    )


def _corpus(corpus: Artifact) -> Resource:
    return Resource(
        name=corpus.name,
        digest=Digest(sha256=corpus.digest),
        annotations={
            "role": "corpus",
            "digest": ROOT,
            "licenses": corpus.facts.get("licenses", []),
            "sources": {role: given.digest for role, given in corpus.manifest.inputs.items()},
        },
    )


def package_url(source: str) -> str | None:
    """A package URL for ``hf:org/name@revision`` or ``pypi:package==version#path``; None for a path, which means
    something on one machine only. https://github.com/package-url/purl-spec"""
    if match := re.fullmatch(r"hf:([^/@]+)/([^/@]+)(?:@(.+))?", source):
        organisation, name, revision = match.groups()
        return f"pkg:huggingface/{quote(organisation)}/{quote(name)}" + (f"@{quote(revision, safe='')}" if revision else "")
    if match := re.fullmatch(r"pypi:([^=#]+)==([^#]+)(?:#(.+?))?(?:@sha256:[0-9a-f]+)?", source):
        package, version, path = match.groups()
        name = re.sub(r"[-_.]+", "-", package).lower()
        return f"pkg:pypi/{quote(name)}@{quote(version, safe='')}" + (f"#{quote(path)}" if path else "")
    return None


def hub_names(model: Model) -> list[str]:
    """What ``base_model`` on the Hugging Face hub should name: the foundation, or where it is no repository of the hub,
    the repositories it was made from; as a last resort its own name."""
    uris = [model.facts.source, *(parent.uri for parent in model.facts.parents)]
    names = [match.group(1) if (match := re.fullmatch(r"hf:([^/@]+/[^/@]+)(?:@.+)?", uri)) else None for uri in uris]
    if names[0]:
        return [names[0]]
    return [name for name in names if name] or [model.name]
