"""What a model is, read from its config, its weights' headers and its card. No weight is loaded, nothing is executed."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from etymon.errors import EtymonError
from etymon.foundation.bounded_json import bounded_json
from etymon.foundation.card import read_card, spdx
from etymon.foundation.model import DeclaredParent, Model, ModelFacts
from etymon.foundation.user_cache import user_cache
from etymon.foundation.weights import Weights, open_weights, weight_files
from etymon.progress import Clock, Listener, silent
from etymon.store import DigestCache, root_digest

_LARGEST_JSON = 1 << 26
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_KINDS = (".json", ".jinja", ".txt", ".model", ".md", ".tiktoken")
_NOT_OURS = ("manifest.json", "trainer_state.json")
"""An artifact's manifest, or the log of a training run, may lie beside a model; neither is a part of it."""


def describe_model(
    folder: Path,
    *,
    name: str,
    source: str,
    license: str | None = None,
    parents: Sequence[DeclaredParent] = (),
    digests: DigestCache | None = None,
    listener: Listener = silent,
) -> Model:
    """Read the facts of a Transformers folder. Licence and parents come from its card where they are not given.

    ``digests`` remembers file digests, by default in the user's cache, so that weights are hashed once.
    Raises EtymonError for a folder without config or safetensors, with malformed ones, or with code of its own.
    """
    config = read_config(folder)
    card = read_card(folder)
    cache = digests or user_cache().digests
    files = _file_digests(folder, name, cache, listener)
    text = config.get("text_config")
    shape = {**config, **text} if isinstance(text, dict) else config
    key = _Keys(folder, shape)
    vocabulary = key.number("vocab_size")
    weights = open_weights(folder)
    if not weights.names:
        raise EtymonError(f"{folder} has no tensors.", "Give the folder of a model saved with save_pretrained().")
    parameters, embedding = _count(weights, vocabulary, tied=bool(config.get("tie_word_embeddings", False)))
    stored: Counter[str] = Counter()
    for tensor in weights.names:
        stored[weights.dtype(tensor)] += _scalars(weights.shape(tensor))
    facts = ModelFacts(
        architecture=_architecture(folder, config),
        model_type=str(config.get("model_type", "")),
        parameters=parameters,
        embedding_parameters=embedding,
        layers=key.number("num_hidden_layers", "n_layer", "num_layers"),
        width=key.number("hidden_size", "n_embd", "d_model"),
        context_length=key.number("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"),
        vocabulary=vocabulary,
        dtype=most_common_dtype(stored),
        license=spdx(license) if license else card.license,
        parents=tuple(parents) or card.parents,
        source=source,
        files=files,
        has_chat_template=_has_chat_template(folder),
        exported_from=_exported_from(folder),
    )
    return Model(name, folder, root_digest(files), facts)


def _exported_from(folder: Path) -> str | None:
    """What the record of an export names; any other file of that name says nothing."""
    try:
        return read_digest(read_object(folder / "export.json").get("subject"))
    except EtymonError:
        return None


def read_digest(value: object) -> str | None:
    """A SHA-256 in hex; None for anything else."""
    return value if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) else None


def most_common_dtype(scalars: Counter[str]) -> str:
    """What most of the stored scalars are, in Transformers' words; ``scalars`` are counted by the file format's."""
    ((dtype, _),) = scalars.most_common(1)
    return _DTYPES.get(dtype, dtype.lower())


def _file_digests(folder: Path, name: str, cache: DigestCache, listener: Listener) -> dict[str, str]:
    """SHA-256 of the model's files, by name."""
    paths = model_files(folder)
    sizes = {path: path.stat().st_size for path in paths}
    clock = Clock(listener, "foundation", f"reading {name}", total=sum(sizes.values()), unit="bytes")
    files: dict[str, str] = {}
    done = 0
    for path in paths:
        files[path.relative_to(folder).as_posix()] = cache.file(path)
        done += sizes[path]
        clock(done)
    return files


def model_files(folder: Path) -> list[Path]:
    """The files that make the model: weights, config, tokenizer, templates, card. Whatever else lies there does not count."""
    found = set(weight_files(folder))
    for path in [*folder.iterdir(), *folder.glob("additional_chat_templates/*.jinja")]:
        plain = path.suffix in _KINDS or path.name.startswith(("LICENSE", "NOTICE"))
        if path.is_file() and plain and path.name not in _NOT_OURS and not path.name.startswith("."):
            found.add(path)
    return sorted(found)


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` as it is. Raises EtymonError where it is missing, malformed, or asks for code from the folder."""
    if not folder.is_dir():
        raise EtymonError(f"There is no model folder {folder}.", "Check the path.")
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").exists():
        raise EtymonError(
            f"{folder} is an adapter, not a model: it holds only a change of one.",
            "Merge it into its base (merge_and_unload() of PEFT), or look at it: `etymon lineage ADAPTER BASE`.",
        )
    if not (folder / "config.json").is_file():
        raise EtymonError(
            f"{folder} has no config.json, so it is not a model.",
            "Give the folder of a model saved with save_pretrained(), a .gguf file, hf:org/name@revision, or an alias.",
        )
    config = read_object(folder / "config.json")
    for name, content in [("config.json", config), ("tokenizer_config.json", read_object(folder / "tokenizer_config.json"))]:
        if content.get("auto_map"):
            raise EtymonError(
                f"{folder / name} asks for code that comes with the model (its key `auto_map`), which is never run here.",
                "Use a revision of the model that Transformers supports by itself; if it does support this one, "
                "copy the folder and remove the key.",
            )
    return config


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file. Raises EtymonError where it is something else."""
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ValueError(f"it has more than {_LARGEST_JSON >> 20} MB")
        content = bounded_json(path.read_bytes())
    except ValueError as error:
        raise EtymonError(f"{path} is not valid JSON ({error}).", "Fetch the model again.") from None
    if not isinstance(content, dict):
        raise EtymonError(f"{path} is not a JSON object.", "Fetch the model again.")
    return content


class _Keys:
    """Config keys under whichever name the family gives them."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self._folder, self._config = folder, config

    def number(self, *names: str) -> int:
        for name in names:
            if type(self._config.get(name)) is int:
                return int(self._config[name])
        raise EtymonError(
            f"{self._folder / 'config.json'} lacks {' or '.join(names)}.",
            "Only causal language models can be opened; check that this is one.",
        )


def _architecture(folder: Path, config: dict[str, Any]) -> str:
    names = config.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise EtymonError(
            f"{folder / 'config.json'} does not name its class (`architectures`).",
            'Add it, such as "architectures": ["LlamaForCausalLM"].',
        )
    return names[0]


def _count(weights: Weights, vocabulary: int, tied: bool) -> tuple[int, int]:
    """Scalars in all, and in the embeddings. Embeddings are told by their shape and by belonging to no layer."""
    total = sum(_scalars(weights.shape(name)) for name in weights.names)
    embeddings = [
        _scalars(shape)
        for name, shape in ((name, weights.shape(name)) for name in weights.names)
        if len(shape) == 2 and shape[0] == vocabulary and not any(part.isdigit() for part in name.split("."))
    ]
    if tied and len(embeddings) == 2:  # stored twice, one parameter
        total -= embeddings.pop()
    return total, sum(embeddings)


def _scalars(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _has_chat_template(folder: Path) -> bool:
    return (folder / "chat_template.jinja").is_file() or bool(
        read_object(folder / "tokenizer_config.json").get("chat_template")
    )
