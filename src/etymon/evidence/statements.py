"""The statements about a derivative, each written from the artifacts of the work that it speaks of, and from nothing else."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from etymon.evidence.predicates import (
    Compared,
    CorpusStatement,
    Curation,
    Derivation,
    DerivationStatement,
    Digest,
    Evaluated,
    Figure,
    Parent,
    Relation,
    Resource,
    Statement,
    TensorMap,
    TestResult,
    TestStatement,
    TrainingStatement,
)
from etymon.evidence.provenance import (
    MODEL_FOLDER,
    ROOT,
    foundation_resource,
    model_resource,
    training_statement,
)
from etymon.foundation.model import Model
from etymon.store import Artifact, value_digest

FOLDER = "statements/"
"""Where they lie in an evidence artifact."""
TRAINING, DERIVATION, CORPUS, LINEAGE = (f"{FOLDER}{each}.json" for each in ("training", "derivation", "corpus", "lineage"))
_RESULTS = {"related": "PASSED", "inconclusive": "WARNED", "independent": "FAILED"}


def statements(
    name: str,
    derivative: Artifact,
    foundation: Model | Resource,
    corpus: Artifact,
    evaluations: Mapping[str, Artifact],
    lineage: Artifact | None,
) -> dict[str, Statement]:
    """Every statement about ``derivative``, called ``name``, by the file that it is written to.

    ``evaluations`` are by task. ``foundation`` may be as an earlier statement has it. Raises EtymonError where the derivative
    was not made from this foundation and corpus.
    """
    base = foundation_resource(foundation) if isinstance(foundation, Model) else foundation
    found: dict[str, Statement] = {
        TRAINING: training_statement(name, derivative, base, corpus),
        DERIVATION: derivation_statement(name, derivative, base, lineage),
        CORPUS: corpus_statement(corpus),
    }
    found |= {evaluation_file(task): evaluation_statement(name, derivative, each) for task, each in evaluations.items()}
    if lineage:
        found[LINEAGE] = lineage_statement(name, derivative, base, lineage)
    return found


def derivation_statement(name: str, derivative: Artifact, foundation: Resource, lineage: Artifact | None) -> Statement:
    """What the derivative derives from, and what became of its parent's tensors where they were compared."""
    parent = Parent(**{**foundation.model_dump(by_alias=False), "weight": 1.0})
    return DerivationStatement(
        subject=(model_resource(name, derivative),),
        predicate=Derivation(
            relation=_relation(derivative.manifest.meaning),
            parents=(parent,),
            recipe=derivative.manifest.meaning,
            tensor_map=_tensor_map(lineage) if lineage else None,
        ),
    )


def _relation(meaning: Mapping[str, Any]) -> Relation:
    settings = meaning.get("settings", {})
    if settings.get("vocabulary"):
        return "vocab-extend"
    if settings.get("method") in ("lora", "qlora"):
        return "lora-merge"
    return "cpt" if settings.get("objective") == "pretrain" else "finetune"


def _tensor_map(lineage: Artifact) -> TensorMap:
    content = lineage.read_json("lineage.json")
    return TensorMap(
        record=_file(lineage, "lineage.json"),
        tensors=content["tensors"],
        identical=len(content["identical_tensors"]),
        changed_share=content["changed_share"],
        change_by_role=content["change_by_role"],
    )


def corpus_statement(corpus: Artifact) -> Statement:
    """What the corpus is made of."""
    facts, inputs = corpus.facts, corpus.manifest.inputs
    files = [_file(corpus, name) for name, record in sorted(corpus.manifest.files.items()) if not record.log]
    sources = facts.get("source_digests", {})
    return CorpusStatement(
        subject=(Resource(name=corpus.name, digest=Digest(sha256=corpus.digest), annotations={"digest": ROOT}), *files),
        predicate=Curation(
            documents_read=facts.get("documents_in"),
            documents_train=facts.get("documents_train"),
            documents_heldout=facts.get("documents_heldout"),
            dropped=facts.get("drops", {}),
            documents_by_source=facts.get("sources", {}),
            licenses=tuple(facts.get("licenses", ())),
            sources=tuple(Resource(name=role, digest=Digest(sha256=digest)) for role, digest in sorted(sources.items())),
            declared=tuple(facts.get("sources_declared", ())),
            waived=tuple(facts.get("waived", ())),
            made_from=tuple(
                Resource(name=given.label, digest=Digest(sha256=given.digest), annotations={"role": role})
                for role, given in sorted(inputs.items())
            ),
        ),
    )


def evaluation_file(task: str) -> str:
    """A task's name never becomes a path unchecked."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", task)[:80]
    return (
        f"{FOLDER}evaluation-{plain}.json" if plain == task else f"{FOLDER}evaluation-{plain}-{value_digest(task)[:8]}.json"
    )


def evaluation_statement(name: str, derivative: Artifact, evaluation: Artifact) -> Statement:
    """What the derivative scored: every metric with its interval, and the digest of the records that they follow from."""
    content = evaluation.read_json("task.json")
    task = content["task"]
    metrics = {
        metric: Figure(
            score=_number(each["score"]),
            low=_number(each["low"]),
            high=_number(each["high"]),
            n=each["n"],
            higher_is_better=each["higher_is_better"],
        )
        for metric, each in content["metrics"].items()
    }
    records = "records.parquet"
    claims = Evaluated(
        task=task,
        identity=content["identity"],
        metrics=metrics,
        records=_file(evaluation, records) if records in evaluation.manifest.files else None,
    )
    return TestStatement(
        subject=(model_resource(name, derivative),),
        predicate=TestResult(
            result="PASSED", configuration=(_whole(evaluation),), passed_tests=(task,), etymon_claims=claims
        ),
    )


def lineage_statement(name: str, derivative: Artifact, foundation: Resource, lineage: Artifact) -> Statement:
    """What the weights of the derivative and its foundation say."""
    content = lineage.read_json("lineage.json")
    result = _RESULTS[content["verdict"]]
    claims = Compared(
        parent=Resource(name=foundation.name, uri=foundation.uri, digest=foundation.digest),
        verdict=content["verdict"],
        direction=content["direction"],
        p_value=content["p_value"],
        effect=content["effect"],
        power=content["power"],
        record=_file(lineage, "lineage.json"),
    )
    tests = {"PASSED": "passed_tests", "WARNED": "warned_tests", "FAILED": "failed_tests"}
    told: dict[str, Any] = {"result": result, tests[result]: ("lineage",)}
    return TestStatement(
        subject=(model_resource(name, derivative),),
        predicate=TestResult(configuration=(_whole(lineage),), etymon_claims=claims, **told),
    )


def files_of(statement: TrainingStatement) -> Iterator[tuple[str, str]]:
    """The model's files by their names in its folder, with their SHA-256."""
    for each in statement.subject:
        if each.name.startswith(MODEL_FOLDER):
            yield each.name.removeprefix(MODEL_FOLDER), each.digest.sha256


def _file(artifact: Artifact, name: str) -> Resource:
    return Resource(name=f"{artifact.name}/{name}", digest=Digest(sha256=artifact.manifest.files[name].sha256))


def _whole(artifact: Artifact) -> Resource:
    return Resource(name=artifact.name, digest=Digest(sha256=artifact.digest), annotations={"digest": ROOT})


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
