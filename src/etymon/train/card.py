"""The model card that travels with the weights: Hugging Face's metadata, so that any tool can read the declared parent."""

from pathlib import Path

import yaml

from etymon.foundation.model import Model
from etymon.store import Artifact
from etymon.train.stage import TrainMeaning


def write_card(path: Path, foundation: Model, corpus: Artifact, meaning: TrainMeaning) -> None:
    """Write ``README.md``: metadata (licence, base model and relation) and a paragraph in words."""
    derived = meaning.start == "foundation"
    metadata: dict[str, object] = {"library_name": "transformers", "tags": ["etymon"]}
    if foundation.facts.license and derived:
        metadata["license"] = foundation.facts.license
    if derived:
        metadata |= {"base_model": [foundation.facts.source], "base_model_relation": "finetune"}
    licences = ", ".join(corpus.facts.get("licenses", [])) or "not declared"
    words = (
        f"Continued from {foundation.name} (weights digest {foundation.digest[:16]}…)."
        if derived
        else f"The architecture of {foundation.name} from a random start; a baseline, with no weights of it."
    )
    data = f"Trained on the corpus {corpus.name} (digest {corpus.digest[:16]}…), whose sources are licensed {licences}."
    front = yaml.safe_dump(metadata, sort_keys=False)
    path.write_text(f"---\n{front}---\n\n{words} {data} Trained with Etymon; its manifest has every setting.\n", "utf-8")
