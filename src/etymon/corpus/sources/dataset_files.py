"""Which files of a data set belong to a configuration and a split: as its card says, else by their names.

The card's ``configs`` and the words that mark a split in a name are those of Hugging Face's ``datasets``.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Self

import yaml
from fsspec.utils import glob_translate

from etymon.corpus.read.formats import READERS, ROW_TYPES, type_of
from etymon.errors import EtymonError

_FORM = re.compile(
    r"hf:(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?"
    r"(?:#(?P<config>[\w.+-]+)(?:/(?P<split>[\w.+-]+))?)?"
)
_TYPES = (ROW_TYPES | READERS.keys()) - {".md", ".html", ".htm", ".pdf"}
"""Of data; a repository's pages are about it."""
_ABOUT = frozenset({"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json"})
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}


@dataclass(frozen=True)
class DatasetSource:
    """A data set on the hub, as a recipe names it."""

    text: str
    repository: str
    revision: str
    config: str | None
    split: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of ``hf:org/name@revision#config/split``. Raises EtymonError for anything else."""
        match = _FORM.fullmatch(text)
        if not match:
            raise EtymonError(f"{text!r} does not name a data set.", "Write hf:org/name@revision#config/split.")
        return cls(text, match["repository"], match["revision"] or "main", match["config"], match["split"])


@dataclass(frozen=True)
class Config:
    """One configuration that a card declares: the patterns of each split, in its order."""

    name: str
    splits: dict[str, tuple[str, ...]]
    default: bool


@dataclass(frozen=True)
class Selected:
    """The files that are asked for, in order, and the other files of data with the reason why they are not read."""

    files: tuple[str, ...]
    others: tuple[tuple[str, str], ...]


def card_configs(card: str) -> list[Config]:
    """The configurations that a card (README.md) declares in its YAML front matter; a broken one declares none."""
    parts = re.split(r"^---[ \t]*$", card, maxsplit=2, flags=re.MULTILINE)
    try:
        front = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip("\ufeff \n") else None
    except yaml.YAMLError:
        front = None
    declared = front.get("configs") if isinstance(front, dict) else None
    return [_config(each) for each in declared if isinstance(each, dict)] if isinstance(declared, list) else []


def _config(declared: dict[str, Any]) -> Config:
    folder = str(declared.get("data_dir") or "").strip("/")
    files = declared.get("data_files", "**")
    by_split = isinstance(files, list) and all(isinstance(each, dict) for each in files)
    given = [(str(each.get("split")), each.get("path")) for each in files] if by_split else [("train", files)]
    splits = {
        split: tuple(f"{folder}/{path}" if folder else str(path) for path in (paths if isinstance(paths, list) else [paths]))
        for split, paths in given
    }
    return Config(str(declared.get("config_name", "default")), splits, declared.get("default") is True)


def select_files(source: DatasetSource, names: Sequence[str], configs: Sequence[Config]) -> Selected:
    """The files of the configuration and split that a source asks for; without a split, of ``train`` if there is one.

    ``names``: all files of the repository. Raises EtymonError where it holds no data that can be read, has no such
    configuration or split, or where several configurations leave a choice.
    """
    data = [name for name in names if type_of(name) in _TYPES and PurePosixPath(name).name not in _ABOUT]
    data = [name for name in data if not any(part.startswith(".") for part in PurePosixPath(name).parts)]
    if not data:
        raise EtymonError(
            f"{source.repository} has no file of data that can be read.",
            f"Readable types: {' '.join(sorted(_TYPES))}. The hub's own conversion may be there as "
            f"hf:{source.repository}@refs/convert/parquet.",
        )
    config = _chosen(source, configs) if configs else None
    if config:
        splits = {split: _matching(patterns, data) for split, patterns in config.splits.items()}
        of_config = [name for name in data if any(name in files for files in splits.values())]
    else:
        of_config = [name for name in data if source.config is None or _is_of(source.config, name)]
        splits = _splits_by_name(of_config)
    if not of_config:
        folders = sorted({PurePosixPath(name).parts[0] for name in data if "/" in name})
        raise EtymonError(
            f"{source.repository} has no data of the configuration {source.config or (config and config.name)!r}.",
            f"Its folders: {', '.join(folders[:20])}." if folders else f"Its files: {', '.join(data[:20])}.",
        )
    files = _of_split(source, of_config, splits)
    others = [(name, "other-split" if name in of_config else "other-configuration") for name in data if name not in files]
    return Selected(tuple(sorted(files)), tuple(others))


def _chosen(source: DatasetSource, configs: Sequence[Config]) -> Config:
    names = [each.name for each in configs]
    if source.config in names:
        return configs[names.index(source.config)]
    listed = f"It has {', '.join(names[:20])}{' …' if len(names) > 20 else ''}"
    if source.config is not None:
        close = difflib.get_close_matches(source.config, names, n=1)
        raise EtymonError(
            f"{source.repository} has no configuration {source.config!r}.",
            f"Did you mean {close[0]}?" if close else f"{listed}.",
        )
    if default := next((each for each in configs if each.default or each.name == "default" or len(configs) == 1), None):
        return default
    raise EtymonError(
        f"{source.repository} has {len(configs)} configurations; name one.",
        f"{listed}: write hf:{source.repository}#{names[0]}.",
    )


def _of_split(source: DatasetSource, names: Sequence[str], splits: dict[str, list[str]]) -> list[str]:
    if source.split is not None:
        if files := splits.get(source.split) or [name for name in names if _has_word(name, (source.split,))]:
            return files
        found = ", ".join(split for split, files in splits.items() if files) or "none that its names tell"
        raise EtymonError(f"{source.text} has no split {source.split!r}.", f"Its splits: {found}.")
    if splits.get("train"):
        return splits["train"]
    in_a_split = {name for files in splits.values() for name in files}
    return [name for name in names if name not in in_a_split] or list(names)


def _splits_by_name(names: Sequence[str]) -> dict[str, list[str]]:
    """By the first word in a name that marks a split."""
    return {split: [name for name in names if _has_word(name, marks)] for split, marks in _SPLITS.items()}


def _has_word(name: str, marks: Sequence[str]) -> bool:
    alternatives = "|".join(re.escape(mark.lower()) for mark in marks)
    return re.search(rf"(?<![a-z0-9])({alternatives})(?![a-z])", name.lower()) is not None


def _is_of(config: str, name: str) -> bool:
    """Whether a folder that a file is in has the configuration's name, or the file's name begins with it."""
    path = PurePosixPath(name)
    return config in path.parts[:-1] or re.match(rf"{re.escape(config)}(?![A-Za-z0-9])", path.name) is not None


def _matching(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    compiled = [re.compile(glob_translate(pattern)) for pattern in patterns]
    return [name for name in names if any(each.match(name) for each in compiled)]
