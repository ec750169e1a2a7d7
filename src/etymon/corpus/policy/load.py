"""Reading a data policy: one of those that are shipped, or a YAML file of the user's."""

import difflib
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import ValidationError, model_validator

from etymon.corpus.policy.policy import (
    Declared,
    IllegalContent,
    Licenses,
    NearDuplicates,
    Origins,
    PersonalData,
    Policy,
    RefusedTerms,
    Text,
)
from etymon.corpus.policy.rules import Rule, load_rules
from etymon.corpus.signals.stored import SIGNAL_TYPES
from etymon.errors import EtymonError
from etymon.recipe import explain_invalid, read_mapping
from etymon.store import Config

SHIPPED = ("default", "permissive-only", "strict")
_SECTIONS = ("licenses", "origins", "refused_terms", "illegal_content", "personal_data", "near_duplicates")
_ADDED = ("refuse", "terms", "patterns")
"""Keys of sections that list what is refused."""
_FOLDER = files("etymon.corpus.policy").joinpath("policies")
_BOUNDED = [name for name, kind in SIGNAL_TYPES.items() if pa.types.is_integer(kind) or pa.types.is_floating(kind)]
"""Signals that a rule can be about."""


class WrittenTerms(RefusedTerms):
    """Refused terms as they are written, some of them in files."""

    terms: tuple[Text, ...] = ()
    files: tuple[Text, ...] = ()
    """Text files with one term a line, relative to the policy; a line that begins with ``#`` is a comment."""


class WrittenIllegal(IllegalContent):
    """Illegal content as it is written, some of its terms in files."""

    files: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _something_to_find(self) -> "WrittenIllegal":
        if not self.terms and not self.files and not self.patterns:
            raise ValueError("without `terms`, `files` or `patterns` nothing illegal could be found")
        return self


class PolicyFile(Config):
    """A data policy as it is written. A key that is left out is as in the policy that this one extends."""

    name: Text
    description: str = ""
    extends: Text = "default"
    """A shipped policy, or a file relative to this one."""
    licenses: Licenses | None = None
    origins: Origins | None = None
    required: tuple[Declared, ...] = ()
    refused_terms: WrittenTerms | None = None
    illegal_content: WrittenIllegal | None = None
    personal_data: PersonalData | None = None
    rules: tuple[Rule, ...] = ()
    rule_sets: tuple[Text, ...] = ()
    """Published sets (``rules.RULE_SETS``), whose rules come after ``rules``, or after those of the extended policy."""
    near_duplicates: NearDuplicates | None = None
    evaluation_items: Literal["drop", "keep"] = "drop"


def load_policy(name_or_path: str, base: Path) -> Policy:
    """The policy that a recipe's ``data_policy`` names: a shipped one, or a YAML file relative to ``base``.

    Raises EtymonError that names file, key and remedy.
    """
    return _load(name_or_path, base, ())


def _load(name_or_path: str, base: Path, extending: tuple[Path, ...]) -> Policy:
    if name_or_path in SHIPPED:
        with as_file(_FOLDER.joinpath(f"{name_or_path}.yaml")) as shipped:
            return _read(shipped, extending, complete=name_or_path == "default")
    path = base / Path(name_or_path).expanduser()
    if path.suffix.lower() not in (".yaml", ".yml") and not path.exists():
        close = difflib.get_close_matches(name_or_path, SHIPPED, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(SHIPPED)}; or name a YAML file."
        named = f", which {extending[-1]} extends" if extending else ""
        raise EtymonError(f"There is no data policy {name_or_path!r}{named}.", hint)
    return _read(path.resolve(), extending)


def _read(path: Path, extending: tuple[Path, ...], *, complete: bool = False) -> Policy:
    """The policy in a file; one that is ``complete`` extends no other."""
    if path in extending:
        raise EtymonError(f"The data policy {path} extends itself.", "Let one of them extend a shipped policy.")
    content = read_mapping(
        path,
        "data policy",
        "`name` and rules",
        "Its path is relative to the recipe that names it, and to the current folder on the command line.",
    )
    named = content.get("extends", "default")
    extended = dict(_load(named, path.parent, (*extending, path))) if isinstance(named, str) and not complete else {}
    try:
        written = PolicyFile.model_validate(content | _completed(content, extended))
        given: dict[str, Any] = {name: getattr(written, name) for name in written.model_fields_set if name != "extends"}
        if written.refused_terms:
            given["refused_terms"] = _refused(written.refused_terms, path)
        if written.illegal_content:
            given["illegal_content"] = _illegal(written.illegal_content, path)
        if sets := given.pop("rule_sets", ()):
            added = [rule for name in sets for rule in load_rules(name)]
            given["rules"] = (*given.get("rules", extended.get("rules", ())), *added)
        policy = Policy.model_validate(extended | {"description": ""} | given)
    except ValidationError as error:
        raise explain_invalid(path, error, PolicyFile) from None
    _refuse_unknown_signals(policy.rules, path)
    return policy


def _refuse_unknown_signals(rules: Sequence[Rule], path: Path) -> None:
    for rule in rules:
        if rule.signal not in _BOUNDED:
            close = difflib.get_close_matches(rule.signal, _BOUNDED, n=1, cutoff=0.7)
            raise EtymonError(
                f"{path}: the rule {rule.reason!r} is about {rule.signal!r}, which is no signal that has a number.",
                f"Did you mean {close[0]}?" if close else f"There are {', '.join(_BOUNDED)}.",
            )


def _completed(content: Mapping[Any, Any], extended: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that are written in part, with what the extended policy says of the rest.

    What is refused is added to what that one refuses, so that naming a section lets nothing pass that was refused before.
    """
    completed = {}
    for name in _SECTIONS:
        before, written = extended.get(name), content.get(name)
        if before is not None and isinstance(written, dict):
            kept = before.model_dump(mode="json")
            lists = {key: [value] if isinstance(value, str) else value for key, value in written.items() if key in _ADDED}
            added = {key: [*value, *kept[key]] for key, value in lists.items() if key in kept and isinstance(value, list)}
            completed[name] = kept | written | added
    return completed


def _refused(written: WrittenTerms, path: Path) -> RefusedTerms:
    return RefusedTerms(terms=_terms("refused_terms", written, path), action=written.action)


def _illegal(written: WrittenIllegal, path: Path) -> IllegalContent:
    terms = _terms("illegal_content", written, path) if written.terms or written.files else ()
    return IllegalContent(**written.model_dump(exclude={"files", "terms"}), terms=terms)


def _terms(key: str, written: WrittenTerms | WrittenIllegal, path: Path) -> tuple[str, ...]:
    """All terms, each once, in order."""
    found = list(written.terms)
    for name in written.files:
        lines = _lines(path.parent / Path(name).expanduser(), path)
        found += [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise EtymonError(f"{path}: `{key}` lists no terms.", "Give `terms`, or `files` with one term a line.")
    return tuple(sorted(set(found)))


def _lines(file: Path, path: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise EtymonError(f"{path} names the list of terms {file}, which cannot be read: {error}.") from None
