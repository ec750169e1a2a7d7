"""A review on the terminal."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from etymon.evidence.review.records import STATUSES, Review, Status
from etymon.evidence.review.show.words import STATUS_WORDS, claim_words, obligation_lines
from etymon.text.plain import plain

_STYLE: dict[Status, str] = {"contradicted": "bold red", "unknown": "bold yellow", "established": "bold green"}


def terminal_review(review: Review) -> RenderableType:
    """Findings by status, risks, obligations that are unmet, questions."""
    shown: list[RenderableType] = [Text(plain(review.model), style="bold"), Text(plain(review.summary))]
    for status in STATUSES:
        if findings := review.of(status):
            shown.append(Padding(Text(STATUS_WORDS[status], style=_STYLE[status]), (1, 0, 0, 0)))
        for each in findings:
            claim = f" The publisher says: {claim_words(each)}" if each.claim else ""
            shown.append(_line(Text.assemble((f"{plain(each.topic)}.", "bold"), plain(claim))))
            shown.append(_line(Text(plain(each.measured)), 4))
    if review.risks:
        shown.append(_head("Risks in the files"))
        shown += [_line(Text(plain(f"{each.file} {each.what}".strip()))) for each in review.risks]
    for title, _, asked in obligation_lines(review):
        unmet = [each for each in asked if each.status == "unmet"]
        if unmet:
            shown.append(_head(f"Not met of {plain(title)}"))
            shown += [_line(Text(plain(f"{each.says} {each.evidence}"))) for each in unmet]
    shown.append(_head("What to ask the vendor"))
    shown += [_line(Text(f"{number}. {plain(each)}")) for number, each in enumerate(review.questions, start=1)]
    shown += [Text(), Text(review.notice, style="dim")]
    return Group(*shown)


def _head(text: str) -> RenderableType:
    return Padding(Text(text, style="bold"), (1, 0, 0, 0))


def _line(text: Text, indent: int = 2) -> RenderableType:
    return Padding(text, (0, 0, 0, indent), expand=False)
