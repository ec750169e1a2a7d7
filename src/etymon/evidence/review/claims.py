"""What the publisher says of a model: read from its card, its config and its licence files, taken for a claim and no more."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etymon.errors import EtymonError
from etymon.evidence.notice import is_licence_file, is_notice_file
from etymon.foundation.card import CARD, card_body, front_matter, read_card, read_text
from etymon.foundation.facts import read_object
from etymon.foundation.model import DeclaredParent

_LONGEST = 200
_MOST = 50
"""Entries of a list, and their characters, that are taken from a file."""
_LARGEST = 1e15
"""A score of this size is none, and integers of a card may be larger than any float."""
_UNITS = {"k": 1e3, "m": 1e6, "million": 1e6, "b": 1e9, "billion": 1e9, "t": 1e12}
_IN_NAME = re.compile(r"(?<![\w.])(\d{1,4}(?:\.\d{1,3})?)\s?([MBT])(?![\w])", re.IGNORECASE)
"""``Llama-3.1-8B``; not ``8x7B`` or ``A3B``, of which the number is another."""
_IN_TEXT = re.compile(
    r"^\W*(?:number of |total |model )?parameters?\W*[:|]\W*([\d.,]{1,12})\s?(billion|million|[BM])\b",
    re.IGNORECASE | re.MULTILINE,
)
_SCRATCH = re.compile(r"[^.\n]{0,80}\bfrom[ -]scratch\b[^.\n]{0,60}", re.IGNORECASE)
_NOT_SCRATCH = re.compile(r"\bnot\b|\bn't\b|\binstead of\b|\brather than\b|\bwithout\b", re.IGNORECASE)
_PUBLISHER = re.compile(
    r"^\W*(developed by|shared by(?: \[optional\])?|publisher|organi[sz]ation|funded by(?: \[optional\])?)\W*:\W*(.{2,120})$",
    re.IGNORECASE | re.MULTILINE,
)
_LAW = re.compile(r"\blaws?\s+of\s+(?:the\s+)?((?:State of |Republic of |People's Republic of )?[A-Z][\w' ]{2,40})")


@dataclass(frozen=True)
class ClaimedScore:
    """One result of the card's ``model-index``."""

    task: str
    metric: str
    value: float


@dataclass(frozen=True)
class Claims:
    """What is claimed, and empty where nothing is."""

    card: str
    """The file's name; empty where there is none."""
    title: str
    license: str | None
    parents: tuple[DeclaredParent, ...]
    relation: str | None
    """As the card has it; ``parents`` say finetune where it says nothing."""
    scratch: str
    """What the card says of training from scratch."""
    parameters: tuple[float, str, str] | None
    """The count, the words, and where they stand."""
    languages: tuple[str, ...]
    datasets: tuple[str, ...]
    scores: tuple[ClaimedScore, ...]
    publisher: tuple[str, ...]
    laws: tuple[str, ...]
    """Whose laws a licence or the card puts it under."""
    config: Mapping[str, Any]
    licence_files: Mapping[str, str]
    """Text by name."""
    notices: str
    """The text of all NOTICE files."""
    body: str
    """What the card says in prose."""
    broken: str
    """Why the card's fields could not be read."""


def read_claims(folder: Path, files: tuple[str, ...], name: str, source: str) -> Claims:
    """Read them. ``files`` are those that may be opened: a link out of the folder is not among them."""
    fields: dict[str, Any] = {}
    declared, broken, body = None, "", ""
    if CARD in files:
        body = card_body(folder)
        try:
            fields, declared = front_matter(folder), read_card(folder)
        except EtymonError as error:
            broken = error.problem
    texts = {each: read_text(folder / each) for each in files if is_licence_file(each) and "/" not in each}
    notices = "\n".join(read_text(folder / each) for each in files if is_notice_file(each) and "/" not in each)
    title = next((line.removeprefix("# ").strip() for line in body.splitlines() if line.startswith("# ")), "")[:_LONGEST]
    return Claims(
        card=CARD if CARD in files else "",
        title=title,
        license=declared.license if declared else None,
        parents=declared.parents[:_MOST] if declared else (),
        relation=_word(fields.get("base_model_relation")),
        scratch=_scratch(body),
        parameters=_parameters(name, title, body),
        languages=_words(fields.get("language")),
        datasets=_words(fields.get("datasets")),
        scores=tuple(_scores(fields.get("model-index")))[:_MOST],
        publisher=tuple(dict.fromkeys(_publishers(body, source))),
        laws=tuple(dict.fromkeys(each.strip() for text in (*texts.values(), body) for each in _LAW.findall(text)))[:5],
        config=_config(folder) if "config.json" in files else {},
        licence_files=texts,
        notices=notices,
        body=body,
        broken=broken,
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = read_object(folder / "config.json")
    except EtymonError:
        return {}  # the survey says that it cannot be read
    text = config.get("text_config")
    return {**config, **text} if isinstance(text, dict) else config


def _word(value: Any) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) and value.strip() else None


def _words(value: Any) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    return tuple(each for each in map(_word, listed[:_MOST]) if each)


def _scratch(body: str) -> str:
    sentences = (found.group(0).strip() for found in _SCRATCH.finditer(body))
    return next((each for each in sentences if not _NOT_SCRATCH.search(each)), "")


def _parameters(name: str, title: str, body: str) -> tuple[float, str, str] | None:
    for text, where in ((name, "the name"), (title, CARD)):
        if found := _IN_NAME.search(text):
            return float(found[1]) * _UNITS[found[2].lower()], found[0].strip(), where
    if found := _IN_TEXT.search(body):
        try:
            return float(found[1].replace(",", "")) * _UNITS[found[2].lower()], f"{found[1]} {found[2]}", CARD
        except ValueError:
            return None
    return None


def _publishers(body: str, source: str) -> Iterator[str]:
    if source.startswith("hf:"):
        yield f"{source.removeprefix('hf:').partition('/')[0]} (account on the Hugging Face hub)"
    for what, who in _PUBLISHER.findall(body):
        plain = re.sub(r"[*_`\[\]]", "", who).strip()
        if plain and "more information needed" not in plain.lower():
            yield f"{plain} ({what.lower().removesuffix(' [optional]')})"


def _scores(index: Any) -> Iterator[ClaimedScore]:
    """https://huggingface.co/docs/hub/model-cards#evaluation-results"""
    for model in index[:_MOST] if isinstance(index, list) else []:
        results = model.get("results") if isinstance(model, dict) else None
        for result in results[:_MOST] if isinstance(results, list) else []:
            dataset = result.get("dataset") if isinstance(result, dict) else None
            metrics = result.get("metrics") if isinstance(result, dict) else None
            for metric in metrics[:_MOST] if isinstance(metrics, list) else []:
                value = metric.get("value") if isinstance(metric, dict) else None
                if isinstance(value, int | float) and abs(value) < _LARGEST:
                    named = [_word(dataset.get(key)) for key in ("name", "type")] if isinstance(dataset, dict) else []
                    task = next(filter(None, named), "a task that is not named")
                    yield ClaimedScore(task, _word(metric.get("type")) or "a metric", float(value))
