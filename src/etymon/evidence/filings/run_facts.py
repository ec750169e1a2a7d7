"""What a run can show: values read from the manifests and files of its artifacts, under the names that clauses use.

Nothing is estimated and nothing filled in; what an artifact does not record is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from etymon.evidence.filings.compute import recorded_base
from etymon.evidence.filings.known import Known, known_from
from etymon.evidence.filings.values import two_figures
from etymon.foundation.model import Model
from etymon.store import Artifact

OBLIGATIONS = "obligations.json"


@dataclass(frozen=True)
class RunParts:
    """The artifacts of one run that filings ask about."""

    name: str
    foundation: str
    """As the recipe names it."""
    derivative: Artifact
    model: Model
    """Inside the train artifact."""
    corpus: Artifact
    signals: Artifact | None
    sampled: Artifact | None
    """A look into the sources for illegal content, where the data policy asks for one."""
    evaluations: Mapping[str, Artifact]
    """By task."""
    lineage: Artifact | None
    evidence: Artifact | None


def run_facts(parts: RunParts) -> dict[str, Known]:
    """Everything that the run shows."""
    facts = _model(parts) | _training(parts.derivative) | _corpus(parts.corpus)
    facts |= _keywords(parts.corpus, parts.signals) | _illegal(parts.corpus, parts.sampled)
    facts |= _scores(parts.evaluations)
    if parts.lineage:
        verdict = parts.lineage.facts.get("verdict")
        facts |= known_from({"lineage.verdict": verdict}, parts.lineage.name)
    if parts.evidence:
        facts |= _licences(parts.evidence)
    return facts


def source_names(corpus: Artifact) -> list[str]:
    """The names of a corpus's sources, in the recipe's order."""
    return [each["source"] for each in corpus.facts.get("sources_declared", [])]


def _model(parts: RunParts) -> dict[str, Known]:
    facts, train = parts.model.facts, parts.derivative
    inputs = train.manifest.inputs
    return known_from(
        {
            "model.name": parts.name,
            "model.digest": parts.model.digest,
            "model.architecture": facts.architecture,
            "model.parameters": facts.parameters,
            "model.parameters_rounded": two_figures(facts.parameters),
            "model.layers": facts.layers,
            "model.width": facts.width,
            "model.vocabulary": facts.vocabulary,
            "model.context_length": facts.context_length,
            "model.modalities": "text in, text out",
            "model.license": facts.license,
            "model.made": train.manifest.created[:10],
            "foundation.name": inputs["foundation"].label if "foundation" in inputs else None,
            "foundation.digest": inputs["foundation"].digest if "foundation" in inputs else None,
            "foundation.source": parts.foundation,
        },
        train.name,
    )


def _training(train: Artifact) -> dict[str, Known]:
    facts, meaning = train.facts, train.manifest.meaning
    settings = meaning.get("settings", {})
    machine = [facts.get("processor"), *facts.get("accelerators", [])]
    found = known_from(
        {
            "training.start": meaning.get("start", "foundation"),
            "training.objective": facts.get("objective"),
            "training.method": _method(settings, facts),
            "training.tokens_seen": facts.get("tokens_seen", facts.get("tokens")),
            "training.epochs": facts.get("epochs"),
            "training.steps": facts.get("steps"),
            "training.flop": facts.get("training_flop"),
            "training.seconds": facts.get("training_seconds"),
            "training.hardware": [each for each in machine if each],
        },
        train.name,
    )
    if (joules := facts.get("energy_joules")) is not None:
        note = str(facts.get("energy_method", ""))
        found["training.energy_kwh"] = Known(value=joules / 3.6e6, origin=train.name, note=note)
    return found | recorded_base(facts, train.name)


def _method(settings: Mapping[str, Any], facts: Mapping[str, Any]) -> str | None:
    """How it was trained, in a sentence."""
    if not settings or "steps" not in facts:
        return None
    words = {
        "pretrain": "continued pretraining on whole documents",
        "sft": "supervised fine-tuning on conversations",
    }
    objective, method = settings.get("objective", "pretrain"), settings.get("method", "full")
    how = "all parameters trained" if method == "full" else f"{method} adapters, merged into the weights"
    return (
        f"{words.get(objective, f'preference training ({objective})')}, {how}; {settings.get('optimizer')} with learning "
        f"rate {settings.get('learning_rate'):g}, {facts['steps']:,} steps of {settings.get('tokens_per_step'):,} tokens, "
        f"seed {settings.get('seed')}"
    )


def _corpus(corpus: Artifact) -> dict[str, Known]:
    facts = corpus.facts
    composition = facts.get("composition") or {}
    declared = facts.get("sources_declared", [])
    policy = corpus.manifest.meaning.get("policy", {})
    collected = [each["collected"]["to"] for each in declared if each.get("collected")]
    found = known_from(
        {
            "corpus.name": corpus.name,
            "corpus.digest": corpus.digest,
            "corpus.documents": facts.get("documents_train"),
            "corpus.characters": facts.get("characters_train"),
            "corpus.documents_read": facts.get("documents_in"),
            "corpus.languages": list(facts.get("languages", {})),
            "corpus.licenses": facts.get("licenses"),
            "corpus.policy": policy.get("name"),
            "corpus.waived": len(facts["waived"]) if "waived" in facts else None,
            "corpus.drops": facts.get("drops"),
            "corpus.curation": _curation(policy, facts),
            "corpus.latest_document": composition.get("latest"),
            "corpus.personal_data": _personal(policy),
        },
        corpus.name,
    )
    found |= known_from({"corpus.sources": declared}, f"{corpus.name}, as the recipe declares them", "declared")
    found |= known_from({"corpus.collected_to": max(collected, default=None)}, f"{corpus.name}, declared", "declared")
    return found


def _curation(policy: Mapping[str, Any], facts: Mapping[str, Any]) -> str | None:
    if not policy or "drops" not in facts:
        return None
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in facts["drops"].items()) or "nothing"
    near = policy.get("near_duplicates", {})
    return (
        f"data policy {policy.get('name')}: quality rules, exact duplicates and near duplicates (Jaccard similarity of "
        f"{near.get('similarity')} and more) removed; left out, by reason: {dropped}"
    )


def _personal(policy: Mapping[str, Any]) -> str | None:
    personal = policy.get("personal_data")
    if not personal:
        return None
    done = {"mask": "replaced by placeholders", "drop": "documents that hold any are left out", "keep": "left as it is"}
    return f"{', '.join(personal['kinds']).replace('_', ' ')}: {done[personal['action']]}"


def _keywords(corpus: Artifact, signals: Artifact | None) -> dict[str, Known]:
    """The sifting of every document by the policy's refused terms, seen at what is kept."""
    terms = (corpus.manifest.meaning.get("policy", {}).get("refused_terms") or {}).get("terms", ())
    if not terms or signals is None:
        return {}
    sides = parquet.read_table(corpus.file("decisions.parquet"), columns=["side"])["side"]
    counted = parquet.read_table(signals.file("documents.parquet"), columns=["refused_terms"])["refused_terms"]
    kept = compute.equal(sides, pa.scalar("train")).fill_null(False)
    counts = counted.filter(kept.combine_chunks())
    holding = compute.sum(compute.greater(counts, 0)).as_py() or 0
    total = len(counts)
    return known_from(
        {
            "corpus.keywords.terms": len(terms),
            "corpus.keywords.sampled_share": 1.0,
            "corpus.keywords.pass_rate": (total - holding) / total if total else None,
        },
        f"{corpus.name}, {signals.name}",
    )


def _illegal(corpus: Artifact, sampled: Artifact | None) -> dict[str, Known]:
    """Illegal content by source, as the policy's terms and patterns find it in a sample that was drawn before use."""
    if sampled is None:
        return {}
    table = parquet.read_table(sampled.file("sampled.parquet"), columns=["source", "found"])
    records = []
    for source in compute.unique(table["source"]).to_pylist():
        found = table.filter(compute.equal(table["source"], source))["found"]
        illegal = len(found) - found.null_count
        records.append({"source": source, "sampled": len(found), "illegal": illegal, "illegal_share": illegal / len(found)})
    waived = [each for each in corpus.facts.get("waived", []) if each.get("rule") == "illegal-content"]
    note = "found by the data policy's terms and patterns" + (f"; waived for {len(waived)} sources" if waived else "")
    return {"corpus.illegal": Known(value=records, origin=sampled.name, note=note)}


def _scores(evaluations: Mapping[str, Artifact]) -> dict[str, Known]:
    lines = []
    for task, artifact in sorted(evaluations.items()):
        for metric, figure in artifact.facts.get("metrics", {}).items():
            score = figure.get("score")
            interval = f", 95% interval {figure['low']:.4g} to {figure['high']:.4g}" if figure.get("low") is not None else ""
            lines.append(f"{task}: {metric} {score:.4g}{interval} ({figure['n']:,} items)" if score is not None else task)
    return known_from({"evaluation.scores": lines}, ", ".join(each.name for each in evaluations.values()))


def _licences(evidence: Artifact) -> dict[str, Known]:
    content = evidence.read_json(OBLIGATIONS)
    by_role = {material["role"]: material["license"] for material in content["materials"]}
    return known_from(
        {
            "foundation.license": by_role.get("foundation"),
            "licences.unknown": len(evidence.facts.get("licences_unknown", [])),
            "licences.unmet": evidence.facts.get("obligations_unmet"),
        },
        evidence.name,
    )
