"""What page and terminal say alike."""

from collections.abc import Iterator

from etymon.evidence.obligations import Obligation
from etymon.evidence.review.records import Finding, Review, Status

STATUS_WORDS: dict[Status, str] = {
    "contradicted": "Contradicted",
    "unknown": "Unknown",
    "established": "Established",
}


def claim_words(finding: Finding) -> str:
    """The claim with where it stands; empty where nothing was claimed."""
    return f"{finding.claim} ({finding.where})" if finding.claim and finding.where else finding.claim


def obligation_lines(review: Review) -> Iterator[tuple[str, str, list[Obligation]]]:
    """Licence and whose it is, what is said of it, and what it asks: what is not done first."""
    order = ("unmet", "to do", "met")
    for each in review.obligations.materials:
        asked = sorted(each.obligations, key=lambda one: order.index(one.status))
        yield f"{each.license}, of {each.material}", " ".join(each.notes), asked
