"""Dossiers of a finished run: its artifacts and the organisation's file, judged and written as Markdown, page and JSON.

A dossier's folder also holds the sheets that people fill in. They are written once and read back every time after.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from etymon.commands.refusals import BANK, latest_answers
from etymon.errors import EtymonError
from etymon.evidence.filings.answers import ANSWERS, Answer, answer_facts, read_answers, review_answers, sum_up
from etymon.evidence.filings.answers import SHEET as ANSWER_SHEET
from etymon.evidence.filings.bank import Bank, TestKind, bank_facts
from etymon.evidence.filings.clauses import Region, Rules, load_rules, threshold
from etymon.evidence.filings.compute import compute_facts
from etymon.evidence.filings.content import content_facts
from etymon.evidence.filings.dossier import BuiltFrom, Dossier, build_dossier
from etymon.evidence.filings.known import Known
from etymon.evidence.filings.obligation import decide_obligation, decision_facts
from etymon.evidence.filings.organisation import organisation_facts, own_clauses, read_organisation, write_template
from etymon.evidence.filings.run_facts import RunParts, run_facts, source_names
from etymon.evidence.filings.sampling import SHEET as SAMPLE
from etymon.evidence.filings.sampling import review_sample, sample_facts
from etymon.evidence.filings.show.markdown import dossier_markdown, form_markdown
from etymon.evidence.filings.show.page import dossier_page
from etymon.evidence.run_record import read_run
from etymon.pictures.page import write_page
from etymon.run import trained_model
from etymon.store import Artifact, Store
from etymon.store.folders import make_folder
from etymon.workspace import find_artifact, runs


@dataclass(frozen=True)
class Written:
    """A dossier and its files."""

    dossier: Dossier
    folder: Path
    files: tuple[Path, ...]
    template: Path | None
    """The organisation's file, where it was not there and is to be filled in."""


def run_parts(name: str | None, store: Store) -> RunParts:
    """The parts of a run, by default of the one that finished last. Raises EtymonError where a part is gone or damaged."""
    if name is None:
        record = next(iter(reversed(list(runs(store)))), None)
        if record is None:
            raise EtymonError(f"The workspace {store.root} has no finished run.", "`etymon run RECIPE` makes one.")
    else:
        record = find_artifact(name, store)
    by_name = {each.name: each for each in store.artifacts()}
    run = read_run(record, by_name.values())
    title, derivative, corpus = run.name, run.part("train"), run.part("corpus")
    evaluations = {
        role.removesuffix(f" of {title}"): made
        for role, made in run.parts.items()
        if role.endswith(f" of {title}") and made.manifest.stage == "evaluate"
    }
    found = RunParts(
        name=title,
        foundation=record.manifest.meaning["recipe"]["foundation"],
        derivative=derivative,
        model=trained_model(derivative, title, store),
        corpus=corpus,
        signals=by_name.get(corpus.manifest.inputs["signals"].label) if "signals" in corpus.manifest.inputs else None,
        sampled=run.parts.get("sampled of the corpus"),
        evaluations=evaluations,
        lineage=run.parts.get(f"lineage of {title}"),
        evidence=run.derivative_and_evidence()[1] if "evidence" in run.parts else None,
    )
    for artifact in artifacts_of(found):
        if damage := artifact.damage(store.digests):
            raise EtymonError("; ".join(damage) + ".", "Nothing is filed from damaged artifacts: run the recipe again.")
    return found


def artifacts_of(parts: RunParts) -> list[Artifact]:
    """Everything of a run that a dossier reads."""
    optional = (parts.signals, parts.sampled, parts.lineage, parts.evidence)
    return [parts.derivative, parts.corpus, *parts.evaluations.values(), *(each for each in optional if each)]


def write_dossier(
    region: Region, parts: RunParts, store: Store, organisation: Path, folder: Path, on: date, *, seed: int = 0
) -> Written:
    """Judge the run for a region on a day and write what came of it into ``folder``.

    A file of the organisation that is not there is written to be filled in. ``seed`` draws the manual sample.
    """
    template = None
    sources = source_names(parts.corpus)
    if not organisation.exists():
        write_template(organisation, sources)
        template = organisation
    own = read_organisation(organisation)
    rules = load_rules(region, own_clauses(own, organisation))
    _make(folder)
    facts = run_facts(parts) | organisation_facts(own, organisation, sources)
    if region == "eu":
        facts |= content_facts(facts, parts.corpus)
        facts |= compute_facts(facts)
        dossier = build_dossier(rules, facts, on, built_from=_built_from(artifacts_of(parts)))
    else:
        dossier = _chinese(rules, facts, parts, store, folder, on, seed)
    sheets = [path for path in (folder / SAMPLE, folder / ANSWER_SHEET) if path.exists()]
    return Written(dossier, folder, (*_write(dossier, folder), *sheets), template)


def draws(rules: Rules) -> dict[TestKind, int]:
    """How many questions of each test the clauses want to be drawn."""
    return {test: threshold(rules.clauses, f"answers.{test}.drawn") for test in ("refuse", "answer", "generate")}


def rules_of(organisation: Path, region: Region) -> Rules:
    """The rules of a region, with the organisation's own where its file is there."""
    return load_rules(region, own_clauses(read_organisation(organisation), organisation) if organisation.exists() else ())


def _chinese(
    rules: Rules, facts: dict[str, Known], parts: RunParts, store: Store, folder: Path, on: date, seed: int
) -> Dossier:
    """Decision, manual sample and tests of refusals, and then the clauses."""
    decision = decide_obligation(facts)
    facts |= decision_facts(decision)
    count = threshold(rules.clauses, "sample.reviewed")
    sample = review_sample(parts.corpus, folder, count, seed) if count else None
    if sample:
        facts |= sample_facts(sample, parts.corpus.name)
    taken = latest_answers(parts.model.digest, store)
    answers, banks = _answers(taken)
    verdicts = review_answers(answers, folder, f"the answers of {parts.name}") if answers else {}
    tests = sum_up(answers, verdicts)
    origin = ", ".join(sorted({each.name for each in taken.values()}))
    facts |= answer_facts(tests, origin)
    for test, bank in banks.items():
        facts |= bank_facts(bank, test, taken[test].name)
    return build_dossier(
        rules,
        facts,
        on,
        built_from=_built_from([*artifacts_of(parts), *taken.values()]),
        decision=decision,
        sample=sample,
        bank=", ".join(sorted({each.name for each in banks.values()})) or None,
        bank_too_small=any(each.too_small for each in banks.values()),
        tests=tests,
    )


def _answers(taken: Mapping[TestKind, Artifact]) -> tuple[list[Answer], dict[TestKind, Bank]]:
    answers, banks = [], {}
    for test, artifact in taken.items():
        if damage := artifact.damage():
            raise EtymonError("; ".join(damage) + ".", "Put the questions again: `etymon dossier refusals`.")
        answers += [each for each in read_answers(artifact.file(ANSWERS)) if each.test == test]
        banks[test] = Bank.model_validate(artifact.read_json(BANK))
    return answers, banks


def _built_from(artifacts: Iterable[Artifact]) -> tuple[BuiltFrom, ...]:
    return tuple({each.name: BuiltFrom(name=each.name, digest=each.digest) for each in artifacts}.values())


def _write(dossier: Dossier, folder: Path) -> list[Path]:
    """Markdown, page, JSON, and each form by itself."""
    written = [folder / "dossier.html", folder / "dossier.md", folder / "dossier.json"]
    write_page(dossier_page(dossier), written[0])
    _replace(written[1], dossier_markdown(dossier))
    _replace(written[2], dossier.model_dump_json(indent=1) + "\n")
    for form in dossier.forms:
        written.append(folder / f"{form.id}.md")
        _replace(written[-1], form_markdown(form, dossier.model))
    return written


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made.write_text(text, "utf-8")
        made.replace(path)
    except OSError as error:
        raise EtymonError(f"{path} cannot be written: {error.strerror or error}.", "Name another folder.") from error
    finally:
        made.unlink(missing_ok=True)


def _make(folder: Path) -> None:
    try:
        make_folder(folder, "Name another folder.")
    except OSError as error:
        raise EtymonError(f"{folder} is no folder: {error.strerror or error}.", "Name another with --out.") from error
