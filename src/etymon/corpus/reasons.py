"""Every reason for which something is left out of a corpus, but the rules of policies, which name their own.

A reason belongs to a step: what can happen to a document, in order.
"""

from dataclasses import dataclass

ORIGIN_REFUSED, EVALUATION_ITEM, EXISTING = "origin-refused", "evaluation-item", "in-existing-corpus"
EXACT, NEAR, NOT_MIXED = "exact-duplicate", "near-duplicate", "not-in-mixture"
AFTER_LAST_ANSWER = "after-last-answer"
"""What is left out of a conversation that is kept; the only such reason."""


@dataclass(frozen=True)
class Step:
    """What can happen to a document."""

    name: str
    head: str
    """Of a narrow column."""
    words: str
    """What is said of the documents that it drops."""


_UNREAD = Step("not read", "not read", "could not be read")
_RULES = Step("rules", "rules", "break a rule of the policy")
_ITEMS = Step("evaluation items", "items", "say what an evaluation item says")
_EXISTING = Step("existing corpora", "existing", "stand in an existing corpus")
_EXACT = Step("exact duplicates", "exact", "say exactly what an earlier one says")
_NEAR = Step("near duplicates", "near", "say nearly what an earlier one says")
_MIXTURE = Step("mixture", "mixture", "are not in the mixture")

STEPS = {step.name: step for step in (_UNREAD, _RULES, _ITEMS, _EXISTING, _EXACT, _NEAR, _MIXTURE)}
"""By name, in order."""
NOT_READ = _UNREAD.name
MANY_REASONS = (_UNREAD.name, _RULES.name)
"""Steps that have more than one reason."""

_DECIDED = {
    ORIGIN_REFUSED: (_RULES, "its address is one that the policy refuses"),
    EVALUATION_ITEM: (_ITEMS, "13 words in a row of an evaluation item"),
    EXISTING: (_EXISTING, "an existing corpus has the same text, or nearly the same"),
    EXACT: (_EXACT, "the same text, but for case, width, white space, apostrophes and invisible characters"),
    NEAR: (_NEAR, "nearly the same text as one that is kept"),
    NOT_MIXED: (_MIXTURE, "the mixture leaves it out"),
}

_READING = {
    "empty": "a file without rows or content, or a row or document without text",
    "bad-json": "a row that is not JSON",
    "bad-row": "a row with cells too few or too many, or with a value that its column cannot have",
    "unclosed-quote": "a line of a CSV that opens a quote and does not close it",
    "not-utf-8": "text in another encoding",
    "not-text": "a text full of NUL characters",
    "no-text-column": "a row without the column of text",
    "text-not-a-string": "a row whose text is no string",
    "too-long": "a row of more than 128 MiB, or a conversation or preference of more than 16 Mi characters",
    "too-large": "a page of more than 16 MiB, or a list of more than 1 GiB",
    "too-large-when-unpacked": "a file that unpacks to too much",
    "cut-off": "a packed file that ends too early",
    "damaged": "a packed file that cannot be unpacked",
    "unreadable-parquet": "a Parquet file that cannot be read",
    "unreadable-warc": "a web archive, or a record of one, that cannot be read",
    "not-a-page": "a record of an archive that is no page",
    "unreadable-pdf": "a PDF that cannot be read",
    "no-text-in-pdf": "a PDF without text",
    "unreadable-html": "a page that cannot be read",
    "no-text-in-html": "a page without text",
    "unreadable-python": "a module of Python that cannot be parsed",
    "unsupported-type": "a file of a type that no reader takes",
    "other-split": "a file of a split that was not asked for",
    "other-configuration": "a file of a configuration that was not asked for",
    "linked-outside": "a link to a file outside of the folder",
    "linked-folder": "a link to a folder",
    "broken-link": "a link to nothing",
    "not-a-file": "a socket, a pipe or a device",
    "no-known-format": "a row whose columns are no format of conversations or preferences",
    "missing-role": "a turn that does not say whose it is",
    "unknown-role": "a turn of a role that is not known",
    "roles-do-not-alternate": "turns in another order than user, assistant, user",
    "no-answer": "a conversation without an answer",
    "more-than-one-answer": "several turns where one answer is to stand",
    "empty-answer": "an answer without text",
    "empty-prompt": "a question without text, or none",
    "equal-sides": "a pair whose two answers are the same",
    "content-not-text": "a turn that holds something else than text, such as a call of a tool",
}
"""Of files and rows that gave no document."""

ALL = (*_READING, *_DECIDED, AFTER_LAST_ANSWER)
"""Their names. ``unsupported-type`` is followed by the type, ``unsupported-type.png``."""


def step_of(reason: str) -> str:
    """The name of the step that drops a document which was read; a rule of a policy where the reason is none of these."""
    return _DECIDED[reason][0].name if reason in _DECIDED else _RULES.name


def step_order(reason: str) -> int:
    """Where the step of a reason stands among all."""
    return list(STEPS).index(step_of(reason))


def meaning_of(reason: str) -> str | None:
    """What a reason says of a document, file or row; None for a rule of a policy."""
    if reason in _DECIDED:
        return _DECIDED[reason][1]
    return _READING.get("unsupported-type" if reason.startswith("unsupported-type") else reason)
