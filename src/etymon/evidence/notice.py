"""The files that go beside the weights: the licence's text, the texts of further licences, and a NOTICE."""

from collections.abc import Iterator, Sequence

from etymon.evidence.licences import licence_text
from etymon.evidence.materials import FOUNDATION, Used
from etymon.foundation.model import Model

LICENSE, LICENSES, NOTICE = "LICENSE", "LICENSES", "NOTICE"
_LARGEST = 1 << 20


def companions(name: str, foundation: Model, used: Sequence[Used]) -> dict[str, str]:
    """Text by file name. ``LICENSE`` is there where the foundation has none of its own and its licence's text is shipped."""
    files: dict[str, str] = {}
    own = any(is_licence_file(file) for file in foundation.facts.files)
    for each in used:
        for known in each.licences or ():
            text = licence_text(known.name) if known.licence.asks else None
            if text and each.role in ("foundation", "parent") and LICENSE not in files and not own:
                files[LICENSE] = text
            elif text and text != files.get(LICENSE) and not (own and each.role == "foundation"):
                files[f"{LICENSES}/{known.name}.txt"] = text
    for path in sorted((foundation.folder / LICENSES).glob("*.txt")):  # of what the foundation itself was made of
        if path.is_file() and path.stat().st_size <= _LARGEST:
            files.setdefault(f"{LICENSES}/{path.name}", path.read_text("utf-8", errors="replace"))
    files[NOTICE] = _notice(name, foundation, used)
    return files


def is_licence_file(file: str) -> bool:
    """Whether a model's file is the text of its licence, by its name."""
    return file.rsplit("/", 1)[-1].upper().startswith(("LICENSE", "LICENCE", "COPYING"))


def is_notice_file(file: str) -> bool:
    """Whether a model's file is its NOTICE, by its name."""
    return file.rsplit("/", 1)[-1].upper().startswith("NOTICE")


def _notice(name: str, foundation: Model, used: Sequence[Used]) -> str:
    changed = f"{name} is derived from {foundation.name}: its weights were changed by training them further."
    parts = [name, *_displayed(used), changed, *_lines(used), *_sources(used), *_passed_on(foundation)]
    return "\n\n".join(parts) + "\n"


def _displayed(used: Sequence[Used]) -> list[str]:
    return shown_lines(used, "display")


def _lines(used: Sequence[Used]) -> list[str]:
    return shown_lines(used, "notice-line")


def shown_lines(used: Sequence[Used], what: str) -> list[str]:
    """What licences want said word for word, each line once; of what wrote the texts, only what reaches this model."""
    asked = [
        ask
        for each in used
        for known in each.licences or ()
        for ask in known.licence.asks
        if ask.ask == what and ask.value and (each.belongs_to == FOUNDATION or ask.outputs)
    ]
    return list(dict.fromkeys(ask.value for ask in asked))


def _sources(used: Sequence[Used]) -> Iterator[str]:
    sources = [each for each in used if each.role == "source"]
    lines = [_source(each) for each in sources]
    if lines:
        yield "It was trained on these texts, selected and in part shortened or masked:\n\n" + "\n".join(lines)


def _source(source: Used) -> str:
    links = [known.licence.text for known in source.licences or () if known.licence.text]
    license = f"{source.license} ({', '.join(links)})" if links else source.license
    return f"- {source.name}" + (f", from {source.origin}" if source.origin else "") + f": {license}"


def _passed_on(foundation: Model) -> Iterator[str]:
    """What the foundation's own NOTICE says, whole."""
    for file in sorted(filter(is_notice_file, foundation.facts.files)):
        path = foundation.folder / file
        if path.is_file() and path.stat().st_size <= _LARGEST:
            yield f"The NOTICE of {foundation.name}:\n\n{path.read_text('utf-8', errors='replace').strip()}"
