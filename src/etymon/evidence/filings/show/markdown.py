"""A dossier, or one of its forms, as Markdown. Text from files is escaped, so that it stays text."""

import re
from collections.abc import Iterator

from etymon.evidence.filings.dossier import Dossier, FilledForm
from etymon.evidence.filings.judge import STATUSES, Result
from etymon.evidence.filings.show.words import (
    CONFIDENCE_WORDS,
    STATUS_WORDS,
    bank_words,
    compute_lines,
    decision_title,
    piece_words,
    sample_lines,
    source_words,
    test_line,
)
from etymon.text.plain import plain

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def dossier_markdown(dossier: Dossier) -> str:
    """The whole dossier."""
    lines = [
        f"# Dossier for {_text(dossier.region_name)}: {_text(dossier.model)}",
        _text(dossier.notice),
        f"Judged on {dossier.on}. Digest of the model's folder: `{dossier.model_digest}`.",
        _counts(dossier),
        *_decisions(dossier),
        "## Clauses",
        *(_clause(each) for status in STATUSES for each in dossier.results if each.status == status),
        *(_form(each, "##") for each in dossier.forms),
        "## Built from",
        "\n".join(f"- `{each.name}` {each.digest}" for each in dossier.built_from),
        "\n".join(f"- Rules {_text(each.file)}, version {each.version}, SHA-256 `{each.sha256}`" for each in dossier.rules),
    ]
    if dossier.replaced:
        lines.append(f"The organisation's own clauses take the place of {_text(', '.join(dossier.replaced))}.")
    return "\n\n".join(line for line in lines if line) + "\n"


def form_markdown(form: FilledForm, model: str) -> str:
    """One form by itself."""
    return f"{_form(form, '#', of=model)}\n"


def _counts(dossier: Dossier) -> str:
    rows = "\n".join(f"| {STATUS_WORDS[status]} | {dossier.counts[status]} |" for status in STATUSES)
    return f"| result | clauses |\n|---|---|\n{rows}"


def _decisions(dossier: Dossier) -> Iterator[str]:
    if dossier.decision:
        yield f"## Filing or registration: {decision_title(dossier)}"
        yield "\n".join(f"- {_text(each)}" for each in (*dossier.decision.because, *dossier.decision.to_review))
    if dossier.compute:
        yield "## Compute beside the base"
        yield "\n".join(f"- {_text(each)}" for each in compute_lines(dossier))
    if dossier.sample:
        yield "## Manual sample of the corpus"
        yield "\n".join(f"- {_text(each)}" for each in sample_lines(dossier.sample))
    if dossier.tests:
        yield "## Tests of refusals"
        yield _text(bank_words(dossier))
        yield "\n".join(f"- {_text(test_line(each))}" for each in dossier.tests)


def _clause(result: Result) -> str:
    lines = [
        f"### {_text(result.title)}: {STATUS_WORDS[result.status]}",
        f"`{result.clause}` ({result.force}). {_text(result.says)}",
        _text(result.reason),
        "\n".join(f"- {_text(piece_words(piece))}" for piece in result.evidence),
        f"Source: {_text(source_words(result.source))}; {CONFIDENCE_WORDS[result.confidence]}.",
        _text(result.note),
    ]
    return "\n\n".join(line for line in lines if line)


def _form(form: FilledForm, level: str, of: str = "") -> str:
    lines = [f"{level} {_text(form.title)}" + (f": {_text(of)}" if of else ""), _text(form.says)]
    lines.append(f"{form.lines - form.empty} of {form.lines} lines are filled in.")
    for section in form.sections:
        rows = []
        for row in section.rows:
            value = _text(row.value) if row.value is not None else f"*not filled in*{_where(row.fill)}"
            note = f" ({_text(row.note)})" if row.note else ""
            rows.append(f"| {_text(row.field)} | {value}{note} | {_text(row.origin)} |")
        table = "\n".join(["| field | value | from |", "|---|---|---|", *rows])
        lines += [f"{level}# {_text(section.title)}", table]
    lines.append(f"Source: {_text(source_words(form.source))}; {CONFIDENCE_WORDS[form.confidence]}.")
    return "\n\n".join(lines)


def _where(fill: str) -> str:
    return f" (organisation's file: `{fill}`)" if fill else ""


def _text(text: str) -> str:
    """Text in one line that no reader of Markdown takes for anything else."""
    return _SPECIAL.sub(r"\\\1", plain(" ".join(text.split())))
