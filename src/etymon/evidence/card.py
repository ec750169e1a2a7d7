"""The model card: Hugging Face metadata, then in words what the derivative is, inherits, learned, owes and cannot show.

All of it is read from artifacts; nothing else is claimed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from etymon.evidence.card_metadata import metadata
from etymon.evidence.inherited import inherited_table
from etymon.evidence.materials import Used
from etymon.evidence.notice import shown_lines
from etymon.evidence.obligations import Obligations
from etymon.evidence.provenance import model_digest, package_url
from etymon.foundation.model import Model
from etymon.store import Artifact

_SETTINGS = ("objective", "method", "learning_rate", "tokens_per_step", "sequence_length", "seed")


@dataclass(frozen=True)
class CardContent:
    """What a card is written from."""

    name: str
    derivative: Artifact
    foundation: Model
    corpus: Artifact
    evaluations: Mapping[str, Artifact]
    """By task."""
    lineage: Artifact | None
    standings: Mapping[str, Any] | None
    """Of the board that ranks it."""
    used: Sequence[Used]
    obligations: Obligations


def card_text(content: CardContent) -> str:
    """The whole ``README.md``."""
    fields = metadata(content.name, content.foundation, content.corpus, content.evaluations)
    front = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
    sections = [
        f"# {content.name}",
        *(f"**{line}**" for line in shown_lines(content.used, "display")),
        _origin(content),
        "## Inherited and earned",
        inherited_table(content.standings, model_digest(content.derivative)),
        "## Trained on",
        _training(content),
        "## Scores",
        _scores(content.evaluations),
        "## Lineage",
        _lineage(content.lineage),
        "## What the licences ask",
        _licences(content.obligations),
        "## Limits",
        _limits(content),
        "## How to verify",
        _verifying(content),
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(sections) + "\n"


def _origin(content: CardContent) -> str:
    facts = content.foundation.facts
    source = f"`{facts.source}`" if package_url(facts.source) else "a local file or folder"
    parents = ", ".join(f"{parent.relation} from `{parent.uri}`" for parent in facts.parents)
    return (
        f"`{content.name}` continues the training of `{content.foundation.name}` ({facts.architecture}, "
        f"{facts.parameters:,} parameters), opened from {source}"
        + (f", which declares itself {parents}" if parents else "")
        + f".\n\nRoot digest of the weights' folder: `{model_digest(content.derivative)}`; of the foundation's: "
        f"`{content.foundation.digest}`."
    )


def _training(content: CardContent) -> str:
    corpus, train = content.corpus.facts, content.derivative.facts
    lines = [
        f"Corpus `{content.corpus.name}` (digest `{content.corpus.digest}`): {_count(corpus, 'documents_train')} documents "
        f"for training and {_count(corpus, 'documents_heldout')} held out, of {_count(corpus, 'documents_in')} read.",
        _sources(corpus),
        _run(content.derivative),
        f"Rows that are not whole: {_listed(train.get('rows'))}; `rows.parquet` of the training lists each.",
        "Documents by language, as detected: " + _listed(corpus.get("languages")) + ".",
        "Documents dropped, by reason: " + _listed(corpus.get("drops")) + ".",
    ]
    waived = [f"{each['source']}: {each['rule']}, {each['found']} ({each['reason']})" for each in corpus.get("waived", [])]
    if waived:
        lines.append("Rules of the data policy that were waived:\n\n" + _bullets(waived))
    return "\n\n".join(lines)


def _run(derivative: Artifact) -> str:
    """What was done, for how long, on what."""
    facts, settings = derivative.facts, derivative.manifest.meaning.get("settings", {})
    asked = ", ".join(f"{key.replace('_', ' ')} {settings[key]}" for key in _SETTINGS if key in settings)
    done = f"{_count(facts, 'tokens')} tokens were seen in {_count(facts, 'steps')} optimizer steps"
    done += f" ({facts['epochs']:.2g} passes over the training documents)" if "epochs" in facts else ""
    if "training_seconds" in facts and facts.get("processor"):
        done += f", in {facts['training_seconds']:,.0f} s on {facts['processor']}"
    if facts.get("energy_joules") is not None:
        done += f", with {facts['energy_joules'] / 3.6e6:.2g} kWh ({facts['energy_method']})"
    return f"{done}. Settings: {asked}." if asked else f"{done}."


def _sources(corpus: Mapping[str, Any]) -> str:
    """A row for each source, with what the recipe declares of it."""
    lines = [
        "| source | documents | licence | origin | personal data | collected | written by |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in corpus.get("sources_declared", []):
        writer, collected = each.get("generated_by"), each.get("collected")
        cells = [
            each["source"],
            f"{corpus.get('sources', {}).get(each['source'], 0):,}",
            each["license"],
            each.get("origin") or "not declared",
            each.get("personal_data") or "not declared",
            " to ".join(collected.values()) if collected else "not declared",
            writer["model"] if writer else "no model, as declared",
        ]
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _count(facts: Mapping[str, Any], key: str) -> str:
    value = facts.get(key)
    return f"{value:,}" if isinstance(value, (int, float)) else "unrecorded"


def _listed(counts: Any) -> str:
    if not isinstance(counts, dict) or not counts:
        return "none"
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _scores(evaluations: Mapping[str, Artifact]) -> str:
    if not evaluations:
        return "None was measured."
    lines = ["| task | metric | score | 95% interval | items | better |", "|---|---|---|---|---|---|"]
    notes = []
    for task, artifact in sorted(evaluations.items()):
        content = artifact.read_json("task.json")
        for metric, figure in content["metrics"].items():
            interval = f"{_figure(figure['low'])} to {_figure(figure['high'])}"
            better = "higher" if figure["higher_is_better"] else "lower"
            lines.append(f"| {task} | {metric} | {_figure(figure['score'])} | {interval} | {figure['n']:,} | {better} |")
        notes += [f"{task}: {note}" for note in content["notes"]]
    return "\n".join(lines) + "".join(f"\n\n{note}" for note in notes)


def _figure(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4f}"


def _lineage(artifact: Artifact | None) -> str:
    if artifact is None:
        return "Declared, not measured: the weights were not compared with the foundation's."
    facts = artifact.facts
    lines = [
        f"Compared with the foundation by the weights alone (`{artifact.name}`): **{facts.get('verdict', 'not recorded')}**."
    ]
    if (p_value := facts.get("p_value")) is not None:
        lines.append(f"Chance of such agreement between independent models: p ≤ {p_value:.2g}.")
    if (direction := facts.get("direction")) and direction != "unknown":
        lines.append(f"Direction: {direction}.")
    if (share := facts.get("changed_share")) is not None:
        lines.append(f"{share:.1%} of its scalars lie in tensors that changed.")
    return " ".join(lines)


def _licences(obligations: Obligations) -> str:
    lines = [obligations.notice]
    for material in obligations.materials:
        asked = _bullets(f"{each.says} *{each.status}*: {each.evidence}" for each in material.obligations)
        notes = " ".join(material.notes)
        through = f", which `{material.through}` was trained on" if material.through else ""
        head = f"**{material.role} `{material.material}`{through}: {material.license}.** {notes}".strip()
        lines.append(f"{head}\n\n{asked}" if asked else head + ("" if notes else " Nothing is asked."))
    if obligations.waived:
        waived = (f"{each.source}: {each.rule}, {each.found}. Reason given: {each.reason}" for each in obligations.waived)
        lines.append("**Conflicts that were waived.**\n\n" + _bullets(waived))
    return "\n\n".join(lines)


def _limits(content: CardContent) -> str:
    tasks = ", ".join(sorted(content.evaluations)) or "nothing"
    return _bullets(
        [
            f"Measured on {tasks} only. No test of safety, bias or truthfulness was run unless it is among these.",
            "The intervals cover the choice of items, not the chance in training: one run with one seed.",
            "What the foundation learned, its faults included, is inherited. " + _known_before(content.used),
            *(f"Conflict of licences: {each.found}." for each in content.obligations.waived),
        ]
    )


def _known_before(used: Sequence[Used]) -> str:
    sources = list(dict.fromkeys(f"`{each.name}`" for each in used if each.role == "source" and each.through))
    if not sources:
        return "What it was trained on is not known here."
    return f"Of what it was trained on, this is known here: {', '.join(sources)}."


def _verifying(content: CardContent) -> str:
    return (
        "`obligations.json`, `bom.cdx.json` (CycloneDX) and the in-toto statements say the same to machines. A digest shows "
        "that files agree; only a signature shows who says so. Get the publisher's public key by another way than this "
        "folder, then:\n\n"
        "```\netymon verify FOLDER --key PUBLISHER.pub\n```"
    )


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
