"""The front matter of the model card: what the Hugging Face hub reads of it.

Fields: https://huggingface.co/docs/hub/model-cards.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from etymon.evidence.licences import find_licences
from etymon.evidence.notice import is_licence_file
from etymon.evidence.provenance import hub_names
from etymon.foundation.model import Model
from etymon.store import Artifact

_LEAST_SHARE = 0.01
"""A language with a smaller share of the words is not one that the model was trained for; detection errs as often."""


def metadata(name: str, foundation: Model, corpus: Artifact, evaluations: Mapping[str, Artifact]) -> dict[str, Any]:
    """The card's front matter. The licence is the foundation's, for a derivative passes it on."""
    fields: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    fields |= _license(foundation)
    fields |= {"base_model": hub_names(foundation), "base_model_relation": "finetune", "tags": ["etymon"]}
    if languages := _languages(corpus):
        fields["language"] = languages
    if datasets := list(dict.fromkeys(_datasets(corpus))):
        fields["datasets"] = datasets
    if results := [_result(task, artifact) for task, artifact in sorted(evaluations.items())]:
        fields["model-index"] = [{"name": name, "results": results}]
    return fields


def _license(foundation: Model) -> dict[str, str]:
    license = foundation.facts.license
    known = find_licences(license)
    if known and len(known) == 1 and known[0].licence.hub and known[0].name.lower() != "own":
        return {"license": known[0].licence.hub}
    if not license:
        return {}
    fields = {"license": "other", "license_name": known[0].name if known and len(known) == 1 else license}
    if any(is_licence_file(file) for file in foundation.facts.files):
        return fields | {"license_link": "LICENSE"}
    return fields | ({"license_link": known[0].licence.text} if known and known[0].licence.text else {})


def _languages(corpus: Artifact) -> list[str]:
    """ISO codes of the languages with a share worth naming, the largest first."""
    counts = {code: count for code, count in corpus.facts.get("languages", {}).items() if re.fullmatch("[a-z]{2,3}", code)}
    total = sum(counts.values())
    return [code for code, count in counts.items() if count >= _LEAST_SHARE * total]


def _datasets(corpus: Artifact) -> Iterator[str]:
    """Data sets of the hub among the declared origins."""
    for each in corpus.facts.get("sources_declared", []):
        origin = each.get("origin") or ""
        if match := re.match(r"(?:hf:|https://huggingface\.co/datasets/)([\w.-]+/[\w.-]+)", origin):
            yield match.group(1)


def _result(task: str, evaluation: Artifact) -> dict[str, Any]:
    figures = evaluation.read_json("task.json")["metrics"]
    metrics = [
        {"type": metric, "name": metric, "value": figure["score"]}
        for metric, figure in figures.items()
        if math.isfinite(figure["score"])
    ]
    return {"task": {"type": "text-generation"}, "dataset": {"name": task, "type": task}, "metrics": metrics}
