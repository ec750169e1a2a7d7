"""A dossier as one self-contained page."""

from etymon.evidence.filings.dossier import Dossier
from etymon.evidence.filings.judge import STATUSES
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
from etymon.pictures.page import Templates

TEMPLATES = Templates("etymon.evidence.filings", "show", style="dossier.css")


def dossier_page(dossier: Dossier) -> str:
    """Results by what a person has to do about them: contradictions first."""
    groups = [(status, [each for each in dossier.results if each.status == status]) for status in STATUSES]
    return TEMPLATES.render(
        "dossier.html.j2",
        dossier=dossier,
        groups=[(status, results) for status, results in groups if results],
        statuses=STATUSES,
        status_words=STATUS_WORDS,
        confidence_words=CONFIDENCE_WORDS,
        decision=decision_title(dossier) if dossier.decision else "",
        compute=list(compute_lines(dossier)),
        sample=list(sample_lines(dossier.sample)) if dossier.sample else [],
        tests=[test_line(each) for each in dossier.tests],
        bank=bank_words(dossier) if dossier.tests else "",
        piece_words=piece_words,
        source_words=source_words,
    )
