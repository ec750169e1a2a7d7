"""Figures and names as a reader wants them; shared by terminal and page."""

from etymon.corpus.inspect.diversity import Part, Shares
from etymon.corpus.inspect.funnel import Count, Funnel, Path
from etymon.text.counted import counted
from etymon.text.overlap import GRAM

_MANY = 4


def figure(value: float) -> str:
    """Whole numbers with commas, others with three digits."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def share(part: float, whole: float) -> str:
    """In percent; what is not nothing is never shown as nothing, nor what is not all as all."""
    if not whole or not part:
        return "0%"
    percent = 100 * part / whole
    if percent < 0.1:
        return "<0.1%"
    if part < whole and percent > 99.9:
        return ">99.9%"
    return f"{percent:.1f}%" if percent < 9.95 or (percent > 99 and part < whole) else f"{percent:.0f}%"


def words_of(name: str) -> str:
    """A signal's or rule's name in words."""
    return name.replace("_", " ")


def count_words(count: Count) -> str:
    return f"{counted(count.documents, 'document')}, {counted(count.characters, 'character')}"


def reasons_of(path: Path, step: str) -> str:
    """``too-few-words 907, mostly-symbols 5``, the most frequent first."""
    losses = sorted((loss for loss in path.losses if loss.step == step), key=lambda loss: -loss.count.documents)
    shown = [f"{loss.reason} {loss.count.documents:,}" for loss in losses[:_MANY]]
    return ", ".join([*shown, *([f"{len(losses) - _MANY:,} more reasons"] if len(losses) > _MANY else [])])


def path_notes(funnel: Funnel) -> list[str]:
    """What the counts of documents do not say."""
    notes = []
    if funnel.passes != funnel.total.train.documents:
        notes.append(f"One pass over the training part reads {counted(funnel.passes, 'document')}, copies counted.")
    for reason, count in funnel.cut.items():
        notes.append(f"{counted(count.characters, 'character')} of {counted(count.documents, 'row')} left out: {reason}.")
    if funnel.hidden:
        notes.append(f"{counted(funnel.hidden, 'hidden file was', 'hidden files were')} not looked at.")
    if funnel.sectioned:
        notes.append("There were too few units to hold some out, so their documents were cut into sections (file.md#3).")
    if short := sum(funnel.items_too_short.values()):
        told = ", ".join(f"{name} {count:,}" for name, count in funnel.items_too_short.items())
        notes.append(
            f"{short:,} of {counted(funnel.items, 'evaluation item')} have fewer than {GRAM} words and could not be looked "
            f"for: {told}."
        )
    notes += [f"Illegal by the terms and patterns of the policy: {each}." for each in funnel.sampled]
    for reason, rows in funnel.against_unread.items():
        notes.append(f"{counted(rows, 'row')} of existing corpora could not be read: {reason}.")
    return notes


def effective_words(shares: Shares) -> str:
    """``as diverse as 1.1 equal parts, of 12; before curation 1.2``."""
    return (
        f"as diverse as {shares.effective:.1f} equal parts by documents and {shares.effective_characters:.1f} by characters, "
        f"of {shares.number:,}; as found, {shares.effective_found:.1f}"
    )


def plural(by: str) -> str:
    return {"licence": "licences", "domain": "domains and folders"}.get(by, f"{by}s")


def listed(shares: Shares) -> list[Part]:
    """The parts with what is left over as the last."""
    return [*shares.parts, *([shares.others] if shares.others else [])]
