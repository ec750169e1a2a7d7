"""Which files a folder holds, and what in them could do harm. Nothing is executed; no link out of the folder is followed."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etymon.evidence.folder import CODE, PICKLES, stays_inside
from etymon.evidence.review.records import Risk
from etymon.foundation.bounded_json import bounded_json

MOST_FILES = 20_000
_LARGEST_JSON = 1 << 26
_RUNS_CODE = ("auto_map", "custom_pipelines")
_REACHES_OUT = ("__class__", "__globals__", "__subclasses__", "__import__", "__builtins__", "__mro__", "popen", "os.system")
"""What a template that only lays out a conversation never names."""


@dataclass(frozen=True)
class Survey:
    """The files of a folder, links that leave it left out, and the risks in them."""

    files: tuple[str, ...]
    risks: tuple[Risk, ...]


def survey_folder(folder: Path) -> Survey:
    """Look through a model's folder."""
    files: list[str] = []
    risks: list[Risk] = []
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if len(files) == MOST_FILES:
            risks.append(
                Risk(file=name, what=f"The folder holds more than {MOST_FILES:,} files; the rest was not looked at.")
            )
            break
        if path.is_symlink() and not stays_inside(path, folder):
            risks.append(Risk(file=name, what="A symbolic link out of the folder. It was not followed."))
        elif path.is_file():
            files.append(name)
            risks += [Risk(file=name, what=what) for what in _risks_of(path)]
        else:
            risks.append(Risk(file=name, what="No plain file (a device, a pipe, or a link to nothing). It was not opened."))
    return Survey(tuple(sorted(files)), tuple(sorted(risks, key=lambda each: each.file)))


def _walk(folder: Path) -> Iterator[Path]:
    """Every file and link; linked folders are links."""
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (Path(place, name) for name in sorted([*files, *links]))


def _risks_of(path: Path) -> Iterator[str]:
    suffix = path.suffix.lower()
    if not path.name.isprintable():
        yield "Its name holds characters that can steer a terminal."
    if suffix in PICKLES:
        yield "A pickle or another format that can run code when it is opened. It was not opened."
    if suffix in CODE:
        yield "Code that comes with the model. It was not run."
    if suffix == ".json":
        yield from _risks_of_json(path)
    if suffix == ".jinja":
        yield from _risks_of_template(_text(path))


def _risks_of_json(path: Path) -> Iterator[str]:
    size = path.stat().st_size
    if size > _LARGEST_JSON:
        yield f"JSON of {size / 1e6:,.0f} MB, more than any honest one. It was not read."
        return
    try:
        content = bounded_json(path.read_bytes())
    except ValueError as error:
        yield f"JSON that cannot be read safely: {error}."
        return
    if not isinstance(content, dict):
        return
    for key in _RUNS_CODE:
        if content.get(key):
            yield f"Asks for code that comes with the model (its key `{key}`). Transformers runs it with trust_remote_code."
    for template in _templates(content.get("chat_template")):
        yield from _risks_of_template(template)


def _templates(found: Any) -> Iterator[str]:
    """A chat template, or several under names."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, list):
        yield from (each["template"] for each in found if isinstance(each, dict) and isinstance(each.get("template"), str))


def _risks_of_template(template: str) -> Iterator[str]:
    if named := [each for each in _REACHES_OUT if each in template]:
        yield f"A chat template that reaches for the program that renders it ({', '.join(named)}). It only runs in a sandbox."


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_LARGEST_JSON).decode("utf-8", errors="replace")
