"""The model card that travels with the weights, so that any tool can read licence and declared parent."""

from pathlib import Path

from etymon.foundation.card import card_text
from etymon.foundation.model import DeclaredParent, Model
from etymon.store import Artifact
from etymon.train.stage import TrainMeaning


def write_card(path: Path, foundation: Model, corpus: Artifact, meaning: TrainMeaning) -> None:
    """Write ``README.md``. Only what decides the weights stands in it: no names given here, no paths of this machine."""
    derived = meaning.start == "foundation"
    licences = ", ".join(corpus.facts.get("licenses", [])) or "not declared"
    words = (
        f"Continued from the model with the weights digest `{foundation.digest}`."
        if derived
        else f"From a random start, with the architecture of the model with the weights digest `{foundation.digest}`."
    )
    data = f"Trained on the corpus with the digest `{corpus.digest}`, whose sources are licensed {licences}."
    parents = (DeclaredParent(uri=parent) for parent in _hub_names(foundation)) if derived else ()
    license = foundation.facts.license if derived else None
    path.write_text(card_text(license, tuple(parents), f"{words} {data} Trained with Etymon."), "utf-8")


def _hub_names(foundation: Model) -> list[str]:
    """What the base is called on the hub: itself if it came from there, else the parents that it declares."""
    if foundation.facts.source.startswith("hf:"):
        return [foundation.facts.source.partition("@")[0]]
    return [parent.uri for parent in foundation.facts.parents]
