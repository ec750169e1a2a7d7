"""A model's fingerprint, taken from its weights."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from etymon.lineage.align.correspond import Side
from etymon.lineage.index.responses import Responses, responses_of
from etymon.lineage.index.searched import Searched, input_embedding, searched_part
from etymon.lineage.verdict import Sizes
from etymon.store import value_digest
from etymon.store.artifact import Sha256

Text = Annotated[str, StringConstraints(max_length=400, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]*$")]
"""What can be printed on a terminal: no control characters."""


class About(BaseModel):
    """What is said of the model in words and numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: Annotated[Text, Field(min_length=1)]
    weights: Sha256
    """As ``etymon.foundation.model.Model.weights``."""
    source: Text
    """Where anyone can get the weights: ``hf:…`` or ``pypi:…``; empty where nobody said."""
    license: Text | None
    sizes: Sizes
    vocabulary: Sha256 | None
    """Digest of the token strings and their rows."""


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a model: at most 1 MB, of which 4 KB are searched."""

    about: About
    searched: Searched
    responses: Responses


def settled(side: Side) -> Side:
    """The side with gate told from up, by a look at a few layers where one decision holds for all."""
    return (side.settled_by_few if side.structure.slots_repeat else side.settled_by_all)[0] if side.structure.layers else side


def take_fingerprint(side: Side, *, weights: str, source: str = "", license: str | None = None) -> Fingerprint:
    """Raises EtymonError for values that are not finite."""
    side = settled(side)
    structure = side.structure
    embedding = input_embedding(side)
    about = About(
        name="".join(letter if letter.isprintable() else "?" for letter in side.name)[:400] or "unnamed",
        weights=weights,
        source=source,
        license=license,
        sizes=Sizes(
            layers=len(structure.layers),
            width=structure.width,
            neurons=structure.neurons,
            key_width=structure.key_width,
            vocabulary=structure.vocabulary,
        ),
        vocabulary=value_digest(side.vocabulary) if side.vocabulary else None,
    )
    return Fingerprint(about, searched_part(side, embedding), responses_of(side, embedding))
