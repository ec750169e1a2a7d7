"""The model card's front matter: licence and declared parents travel with a model's folder as YAML in its README.md.

Field names are Hugging Face's: https://huggingface.co/docs/hub/model-cards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from etymon.errors import EtymonError
from etymon.foundation.model import DeclaredParent

CARD = "README.md"
_LARGEST = 4_000_000
_SPDX = {
    name.lower(): name
    for name in (
        "Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0",
        "CC0-1.0", "GPL-3.0", "LGPL-3.0", "AGPL-3.0", "MPL-2.0", "Unlicense", "ISC",
    )
}  # fmt: skip
"""Hugging Face writes SPDX identifiers in lower case."""


@dataclass(frozen=True)
class Card:
    """What a model's card declares."""

    license: str | None = None
    parents: tuple[DeclaredParent, ...] = ()


def read_card(folder: Path) -> Card:
    """The declarations in a folder's README.md, empty without one. Raises EtymonError for front matter that is not YAML."""
    return _card(front_matter(folder))


def front_matter(folder: Path) -> dict[str, Any]:
    """All fields of a folder's README.md, empty without any. Raises EtymonError where they are not YAML.

    They are not trusted: YAML's aliases make small files huge once they are written out, so take from them what has a type
    and a size that fit, and print nothing else.
    """
    path = folder / CARD
    lines = read_text(path).splitlines()
    end = _end_of_front_matter(lines)
    try:
        fields = yaml.safe_load("\n".join(lines[1:end])) if end else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date with a 99th month
        raise EtymonError(
            f"{path} begins with front matter that is not YAML ({str(error).splitlines()[0]}).",
            "Mend the lines between the two '---', or remove them.",
        ) from None
    return fields if isinstance(fields, dict) else {}


def card_body(folder: Path) -> str:
    """What a folder's README.md says below its front matter; empty without one."""
    lines = read_text(folder / CARD).splitlines()
    return "\n".join(lines[_end_of_front_matter(lines) + 1 if _end_of_front_matter(lines) else 0 :])


def read_text(path: Path) -> str:
    """The text of a file that is not trusted, up to 4 MB of it; empty where there is no such file."""
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return stream.read(_LARGEST).decode("utf-8", errors="replace")


def _end_of_front_matter(lines: Sequence[str]) -> int:
    """The line that ends it; 0 where there is none."""
    if not lines or lines[0].strip() != "---":
        return 0
    return next((number for number, line in enumerate(lines[1:], start=1) if line.strip() == "---"), 0)


def _card(fields: dict[str, Any]) -> Card:
    relation = fields.get("base_model_relation")
    names = fields.get("base_model") or []
    names = [names] if isinstance(names, str) else names
    parents = [
        DeclaredParent(uri=_uri(name), relation=relation if isinstance(relation, str) else "finetune")
        for name in (names if isinstance(names, list) else [])
        if isinstance(name, str)
    ]
    return Card(_license(fields), tuple(parents))


def _license(fields: dict[str, Any]) -> str | None:
    name = fields.get("license")
    if isinstance(name, list):
        name = name[0] if name else None
    if name == "other" and isinstance(fields.get("license_name"), str):
        name = fields["license_name"]
    return spdx(name) if isinstance(name, str) else None


def spdx(license: str) -> str:
    """An identifier in SPDX's spelling where it is a known one, else as it is."""
    return _SPDX.get(license.strip().lower(), license.strip())


def _uri(name: str) -> str:
    """``org/name`` means a repository of the hub."""
    return f"hf:{name}" if name.count("/") == 1 and ":" not in name and not name.startswith((".", "/")) else name


def card_text(license: str | None, parents: Sequence[DeclaredParent], body: str) -> str:
    """A README.md with front matter. The format has one field for the relation of all parents: the first one's is written."""
    fields: dict[str, Any] = {"library_name": "transformers"}
    if license:
        known = license.lower() in _SPDX
        fields |= {"license": license.lower()} if known else {"license": "other", "license_name": license}
    if parents:
        fields["base_model"] = [parent.uri.removeprefix("hf:") for parent in parents]
        fields["base_model_relation"] = parents[0].relation
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---\n\n{body.strip()}\n"
