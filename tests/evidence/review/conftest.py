"""A small model under the licence of Llama 3.1, and one copy of it that is passed off as somebody's own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rebadged import LLAMA_CARD, rearranged, with_card


@pytest.fixture(scope="session")
def original(make_llama: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_llama(41, num_hidden_layers=8)
    (folder / "README.md").write_text(LLAMA_CARD, "utf-8")
    return folder.rename(tmp_path_factory.mktemp("original") / "Llama-Tiny")


@pytest.fixture(scope="session")
def rebadged(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Renamed, its coordinates and neurons in another order, its base not named, its licence changed to MIT."""
    made = rearranged(original, tmp_path_factory.mktemp("rebadged") / "nova-mini")
    return with_card(made, license="mit", language=["en", "de"])
