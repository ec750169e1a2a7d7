"""What the pretraining of a known base cost, so that a training can be set beside it.

Only models whose developers state a number of tokens are here. Left out, so "unknown": Mistral (never stated), Llama 3.2
1B and 3B ("up to" 9T, pruned from a larger model), Phi-3-mini (3.3T in the report, 4.9T after its update, one name).
"""

import re
from dataclasses import dataclass

from etymon.foundation.model import ModelFacts


@dataclass(frozen=True)
class Pretraining:
    """How long a family of models was pretrained."""

    names: str
    """Repositories on the hub, base and instruct models alike, as a regular expression for the whole name."""
    tokens: float
    source: str


PRETRAININGS = (
    Pretraining(r"HuggingFaceTB/SmolLM2-135M(-Instruct)?", 2e12, "model card of SmolLM2-135M"),
    Pretraining(r"HuggingFaceTB/SmolLM2-360M(-Instruct)?", 4e12, "model card of SmolLM2-360M"),
    Pretraining(r"HuggingFaceTB/SmolLM2-1\.7B(-Instruct)?", 11e12, "arXiv 2502.02737"),
    Pretraining(r"meta-llama/Llama-2-\d+b(-chat)?(-hf)?", 2e12, "arXiv 2307.09288"),
    Pretraining(r"meta-llama/(Meta-)?Llama-3(\.1|\.3)?-\d+B(-Instruct)?", 15e12, "model cards of Llama 3, 3.1, 3.3 (15T+)"),
    Pretraining(r"Qwen/Qwen2\.5-[\d.]+B(-Instruct)?", 18e12, "arXiv 2412.15115"),
    Pretraining(r"Qwen/Qwen3-[\d.]+B(-Base)?", 36e12, "arXiv 2505.09388"),
    Pretraining(r"google/gemma-2-2b(-it)?", 2e12, "arXiv 2408.00118"),
    Pretraining(r"google/gemma-2-9b(-it)?", 8e12, "arXiv 2408.00118"),
    Pretraining(r"google/gemma-2-27b(-it)?", 13e12, "arXiv 2408.00118"),
    Pretraining(r"google/gemma-3-1b-(pt|it)", 2e12, "arXiv 2503.19786"),
    Pretraining(r"google/gemma-3-4b-(pt|it)", 4e12, "arXiv 2503.19786"),
    Pretraining(r"google/gemma-3-12b-(pt|it)", 12e12, "arXiv 2503.19786"),
    Pretraining(r"google/gemma-3-27b-(pt|it)", 14e12, "arXiv 2503.19786"),
    Pretraining(r"01-ai/Yi-(6B|34B)(-Chat)?", 3.1e12, "arXiv 2403.04652"),
)
_NEAR = (0.7, 1.4)
"""A model's parameters over those in its base's name. Gemma-2-2b has 2.6 billion; a pruned model falls outside."""


def pretraining_of(facts: ModelFacts) -> Pretraining | None:
    """The pretraining behind a model, by where it was opened from and the parents it declares; None where that is not known.

    None too where two names disagree, or where the model is not of the size that the name says.
    """
    names = {_hub_name(uri) for uri in (facts.source, *(parent.uri for parent in facts.parents))}
    found = {p for name in names for p in PRETRAININGS if re.fullmatch(p.names, name, re.IGNORECASE)}
    sizes = [_size(name) for name in names if any(re.fullmatch(p.names, name, re.IGNORECASE) for p in found)]
    near = all(_NEAR[0] <= facts.parameters / size <= _NEAR[1] for size in sizes)
    return found.pop() if len(found) == 1 and near else None


def pretraining_flop(facts: ModelFacts, pretraining: Pretraining) -> float:
    """6 × parameters × tokens (Kaplan et al., arXiv 2001.08361)."""
    return 6.0 * facts.parameters * pretraining.tokens


def _hub_name(uri: str) -> str:
    """``org/name`` of ``hf:org/name@revision``; empty for any other place."""
    return uri.removeprefix("hf:").split("@")[0] if uri.startswith("hf:") else ""


def _size(name: str) -> float:
    """Parameters as a name such as ``gemma-2-9b-it`` gives them."""
    found = re.search(r"-([\d.]+)([bm])(?=-|$)", name, re.IGNORECASE)
    assert found, name
    return float(found[1]) * {"b": 1e9, "m": 1e6}[found[2].lower()]
