"""A review as one self-contained page."""

from etymon.evidence.review.records import STATUSES, Review
from etymon.evidence.review.show.words import STATUS_WORDS, obligation_lines
from etymon.pictures.page import Templates

TEMPLATES = Templates("etymon.evidence.review", "show", style="review.css")


def review_page(review: Review) -> str:
    """What is contradicted first, then what to ask, and what the findings rest on folded away."""
    return TEMPLATES.render(
        "review.html.j2",
        review=review,
        groups=[(status, review.of(status)) for status in STATUSES if review.of(status)],
        statuses=STATUSES,
        status_words=STATUS_WORDS,
        licences=list(obligation_lines(review)),
        unmet=review.obligations.count("unmet"),
    )
