"""The files that go beside the weights: the licence's text, the texts of further licences, and a NOTICE."""

from collections.abc import Iterator, Mapping, Sequence

from etymon.evidence.licences import Known, licence_text
from etymon.evidence.materials import Used
from etymon.foundation.model import Model

LICENSE, LICENSES, NOTICE = "LICENSE", "LICENSES", "NOTICE"
_LARGEST = 1 << 20


def companions(name: str, foundation: Model, used: Sequence[Used], texts: Mapping[str, str] | None = None) -> dict[str, str]:
    """Text by file name. ``LICENSE`` is there where the foundation has none of its own and its licence's text is known.

    ``texts`` are those of licences that the user gave, by the rules' names; others are shipped.
    """
    files: dict[str, str] = {}
    own = any(is_licence_file(file) for file in foundation.facts.files)
    for each in used:
        for known in each.licences or ():
            text = text_of(known, texts or {}) if known.licence.asks else None
            if text and each.is_weights and LICENSE not in files and not own:
                files[LICENSE] = text
            elif text and text != files.get(LICENSE) and not (own and each.role == "foundation"):
                files[f"{LICENSES}/{known.name}.txt"] = text
    for path in sorted((foundation.folder / LICENSES).glob("*.txt")):  # of what the foundation itself was made of
        if path.is_file() and path.stat().st_size <= _LARGEST:
            files.setdefault(f"{LICENSES}/{path.name}", path.read_text("utf-8", errors="replace"))
    files[NOTICE] = _notice(name, foundation, used)
    return files


def text_of(known: Known, texts: Mapping[str, str]) -> str | None:
    """A licence's text, as the user gave it or as it is shipped."""
    return texts.get(known.name) or licence_text(known.name)


def missing_texts(foundation: Model, used: Sequence[Used], texts: Mapping[str, str]) -> list[Known]:
    """Licences of weights, a copy of which has to go with the derivative, and whose text is nowhere."""
    own = any(is_licence_file(file) for file in foundation.facts.files)
    return [
        known
        for each in used
        for known in each.licences or ()
        if each.is_weights and known.licence.asked("licence-copy") and not (own and each.role == "foundation")
        if text_of(known, texts) is None
    ]


def where_to_put(known: Known) -> str:
    """What to do about a licence whose text is missing."""
    return f"Get its text ({known.licence.text}) and name the file in the recipe: `license_files: {{{known.name}: FILE}}`."


def is_licence_file(file: str) -> bool:
    """Whether a model's file is the text of its licence, by its name."""
    return file.rsplit("/", 1)[-1].upper().startswith(("LICENSE", "LICENCE", "COPYING"))


def is_notice_file(file: str) -> bool:
    """Whether a model's file is its NOTICE, by its name."""
    return file.rsplit("/", 1)[-1].upper().startswith("NOTICE")


def _notice(name: str, foundation: Model, used: Sequence[Used]) -> str:
    parts = [
        name,
        *_displayed(used),
        change_stated(name, foundation),
        *_lines(used),
        *_sources(used),
        *_passed_on(foundation),
    ]
    return "\n\n".join(parts) + "\n"


def change_stated(name: str, foundation: Model) -> str:
    """What NOTICE says was done to the original."""
    return f"{name} is derived from {foundation.name}: its weights were changed by training them further."


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
        if ask.ask == what and ask.value and (each.is_weights or ask.outputs)
    ]
    return list(dict.fromkeys(ask.value for ask in asked))


def _sources(used: Sequence[Used]) -> Iterator[str]:
    for earlier, learned in ((False, "It was trained"), (True, "What it is derived from was trained before")):
        lines = [_source(each) for each in used if each.role == "source" and bool(each.through) is earlier]
        if lines:
            yield f"{learned} on these texts, selected and in part shortened or masked:\n\n" + "\n".join(lines)


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
