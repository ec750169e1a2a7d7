"""A corpus on the terminal: its funnel, signals, duplicates and diversity; what a policy changes; one document's story."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from etymon.corpus.inspect.distributions import QUANTILES, Distribution
from etymon.corpus.inspect.diversity import Diversity
from etymon.corpus.inspect.duplicates import Duplicates
from etymon.corpus.inspect.examples import Changes
from etymon.corpus.inspect.funnel import Count, Funnel, Sample
from etymon.corpus.inspect.inspection import Inspection
from etymon.corpus.inspect.redecide import Redecision
from etymon.corpus.inspect.show.figures import (
    count_words,
    effective_words,
    figure,
    listed,
    path_notes,
    plural,
    reasons_of,
    share,
    words_of,
)
from etymon.corpus.inspect.why import Answer, Brief, Story
from etymon.corpus.reasons import EXISTING, MANY_REASONS, STEPS
from etymon.text.counted import counted
from etymon.text.plain import plain

WIDTH = 110
_EXCERPT, _LISTED, _ID = 90, 6, 8
_SHOWN_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)


def terminal_inspection(found: Inspection) -> RenderableType:
    """Everything at a glance; the page has more of each."""
    parts: list[RenderableType] = [Text.assemble((found.corpus, "bold"), f"  by the data policy {plain(found.policy)}")]
    parts += _section("What became of the documents", _funnel(found.funnel))
    if len(found.funnel.sources) > 1:
        parts += _section("By source", [_by_source(found.funnel)])
    parts += _section("A sample of each reason", _samples_of_reasons(found.funnel))
    parts += _section("Signals of all documents", _signals(found.distributions))
    parts += _section("Duplicates", _duplicates(found.duplicates))
    parts += _section("Diversity of what is kept", _diversity(found.diversity))
    parts += _section("What was done to texts", _changes(found.changes))
    return Group(*parts)


def terminal_redecision(found: Redecision) -> RenderableType:
    """What another policy changes."""
    head = Text.assemble("The policy ", (plain(found.policy), "bold"), f" in place of {plain(found.built_by)}")
    table = _table("rule", "dropped now", "then", "gained", "lost")
    for rule in found.rules:
        figures = (rule.before, rule.after, rule.gained, rule.lost)
        table.add_row(plain(rule.reason), *(f"{count.documents:,}" for count in figures))
    table.add_section()
    table.add_row("break no rule", f"{found.passing_before.documents:,}", f"{found.passing.documents:,}", style="bold")
    table.add_row("and are kept", f"{found.kept_before.documents:,}", f"{found.kept.documents:,}", style="bold")
    parts: list[RenderableType] = [head, Padding(table, (1, 0, 0, 2))]
    for name, side in (("Gained", "gained_samples"), ("Lost", "lost_samples")):
        lines = [line for rule in found.rules for line in _samples(plain(rule.reason), getattr(rule, side))]
        parts += _section(name, lines) if lines else []
    notes = list(found.notes)
    if found.not_compared.documents:
        notes.insert(0, f"Of what is kept, {count_words(found.not_compared)} are still to be compared for near duplicates.")
    return Group(*parts, *(Padding(Text(plain(note), style="dim"), (1, 0, 0, 2)) for note in notes))


def terminal_answer(answer: Answer) -> RenderableType:
    """One document's story, or those that answer to a name."""
    parts: list[RenderableType] = [_story(answer.story)] if answer.story else []
    if answer.story and answer.outcomes:
        parts += [Text(), Text("The same text elsewhere", style="bold")]
    for outcome, count in answer.outcomes.items():
        firsts = [each for each in answer.several if each.outcome == outcome]
        lines = [line for each in firsts for line in _brief(each)]
        if count > len(firsts):
            lines.append(Text(f"and {count - len(firsts):,} more", style="dim"))
        parts += _section(f"{count:,}  {plain(outcome)}", lines)
    told = "Give an id, its beginning, or a name (file.jsonl#12) for all that is known of one."
    return Group(*parts, *([Text(), Text(told, style="dim")] if answer.count > 1 and not answer.story else []))


def _brief(found: Brief) -> Iterator[Text]:
    yield Text.assemble(plain(f"{found.source}/{found.unit} "), (found.id[:_ID], "dim"))
    yield Text(f"  {_short(found.excerpt)}", style="dim", no_wrap=True, overflow="ellipsis")


def _section(head: str, lines: Iterable[RenderableType]) -> list[RenderableType]:
    below = (Padding(line, (0, 0, 0, 2), expand=False) for line in lines)
    return [Padding(Text(head, style="bold"), (1, 0, 0, 0), expand=False), *below]


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first, overflow="fold", min_width=10)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _funnel(funnel: Funnel) -> Iterator[RenderableType]:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    total = funnel.total

    def row(count: Count, text: Text, sign: str = "") -> None:
        table.add_row(f"{sign}{count.documents:,}", share(count.documents, total.found.documents), text)

    row(total.found, Text(f"found, {counted(total.found.characters, 'character')}"))
    for name, step in STEPS.items():
        if (lost := total.lost(name)).documents:
            reasons = reasons_of(total, name) if name in MANY_REASONS else ""
            row(lost, Text.assemble(step.words, (f": {plain(reasons)}" if reasons else "", "dim")), "−")
    row(total.train, Text(f"for training, {counted(total.train.characters, 'character')}", style="bold"))
    row(total.heldout, Text(f"held out, {counted(total.heldout.characters, 'character')}", style="bold"))
    yield table
    for note in path_notes(funnel):
        yield Text(plain(note))


def _by_source(funnel: Funnel) -> Table:
    steps = [step for step in STEPS if funnel.total.lost(step).documents]
    table = _table("source", "found", *(STEPS[step].head for step in steps), "training", "held out")
    for path in (*funnel.sources, funnel.total):
        counts = [path.found, *(path.lost(step) for step in steps), path.train, path.heldout]
        if path is funnel.total:
            table.add_section()
        table.add_row(plain(path.source), *(f"{count.documents:,}" for count in counts))
    return table


def _samples_of_reasons(funnel: Funnel) -> Iterator[RenderableType]:
    for loss in funnel.total.losses:
        yield from _samples(plain(loss.reason), funnel.samples.get(loss.reason, ())[:1])


def _samples(reason: str, samples: Iterable[Sample]) -> Iterator[RenderableType]:
    for sample in samples:
        name = f"  {plain(sample.source)}/{plain(sample.unit)} {sample.id[:_ID]}  "
        note = f"({plain(sample.note)})" if sample.note else ""
        yield Text.assemble((reason, "yellow"), name, (note, "dim"))
        yield Text(f"  {_short(sample.excerpt)}", style="dim", no_wrap=True, overflow="ellipsis")


def _signals(found: Sequence[Distribution]) -> Iterator[RenderableType]:
    """Those that are bounded; the page has the others too."""
    bounded = [each for each in found if each.thresholds]
    table = _table("signal", *(f"{quantile:.0%}" if quantile != 0.5 else "median" for quantile in _SHOWN_QUANTILES))
    table.add_column("dropped", overflow="fold")
    table.add_column("beyond", justify="right")
    for each in bounded:
        shown = [figure(each.quantiles[QUANTILES.index(at)]) for at in _SHOWN_QUANTILES] if each.documents else ["—"] * 5
        bounds = [each.rule.removeprefix(f"{each.rule.split()[0]} ") for each in each.thresholds]
        beyond = "\n".join(f"{each.beyond:,}" for each in each.thresholds)
        table.add_row(words_of(each.signal), *shown, "\n".join(bounds), beyond)
    yield table
    yield Text(f"{counted(len(found) - len(bounded), 'more signal')} without bounds: the page shows them.", style="dim")


def _duplicates(found: Duplicates) -> Iterator[RenderableType]:
    if not found.clusters:
        yield Text("None.")
        return
    yield Text(
        f"{found.exact:,} exact and {found.near:,} near duplicates were dropped for the sake of "
        f"{counted(found.clusters, 'other document')}."
    )
    for cluster in found.largest[:_LISTED]:
        yield Text.assemble((f"{cluster.size:,} times", "yellow"), f"  {plain(cluster.survivor)}")
        yield Text(f"  {_short(cluster.excerpt)}", style="dim", no_wrap=True, overflow="ellipsis")


def _diversity(found: Diversity) -> Iterator[RenderableType]:
    for shares in found.shares:
        kept = sum(part.kept.documents for part in listed(shares))
        named = [f"{plain(part.name)} {share(part.kept.documents, kept)}" for part in listed(shares) if part.kept.documents]
        told = f"{plural(shares.by).capitalize()}: {', '.join(named[:_LISTED])}{', …' if len(named) > _LISTED else ''}  "
        yield Text.assemble(told, (effective_words(shares), "dim"))
    table = _table("words of", "documents", "words", "distinct", "effective", "pairs", "distinct in 1,000")
    for each in found.words:
        ratio = "—" if each.segment_ratio is None else f"{each.segment_ratio:.0%}"
        figures = (each.documents, each.words, each.distinct, round(each.effective_words), round(each.effective_pairs))
        table.add_row(plain(each.source), *(f"{value:,}" for value in figures), ratio)
    yield Padding(table, (1, 0, 0, 0))


def _changes(found: Changes) -> Iterator[RenderableType]:
    yield Text(f"Of {counted(found.looked_at, 'document')} looked at, {found.repaired:,} had broken characters mended.")
    held = [
        f"{words_of(each.kind)} {counted(each.found, 'time')} in {counted(each.documents, 'document')}"
        + (" (masked)" if each.masked else " (left as it is)")
        for each in found.personal
        if each.found
    ]
    if found.personal:
        yield Text(f"Personal data: {', '.join(held) or 'none was recognised'}.")


def _story(story: Story) -> RenderableType:
    went = {
        "train": f"for training, {'once' if story.copies == 1 else f'{story.copies} times'} in a pass",
        "heldout": "held out",
        "dropped": f"dropped: {story.reason}",
    }[story.outcome]
    head = Text.assemble((f"{plain(story.source)}/{plain(story.unit)}", "bold"), f"  {went}")
    facts = [f"id {story.id}", f"a {story.kind}" if story.kind != "document" else "", f"licence {story.license}"]
    facts += [story.url or "", story.date or "", f"language {story.language}"]
    facts += [counted(story.characters, "character"), counted(story.words, "word")]
    parts: list[RenderableType] = [head, Text(plain(" · ".join(each for each in facts if each)), style="dim")]
    parts += [Text(_short(story.excerpt), no_wrap=True, overflow="ellipsis")]
    table = _table("rule", "measured", "")
    for each in story.rules:
        said = "not for rows" if not each.applies else "broken" if each.broken else "passes"
        style = "yellow" if each.broken else ""
        table.add_row(Text(f"{plain(each.reason)}: {words_of(plain(each.rule))}"), figure(each.value), said, style=style)
    parts += _section("Rules", [table])
    lines = list(_related(story))
    return Group(*parts, *(_section("Other documents, items, personal data", lines) if lines else []))


def _related(story: Story) -> Iterator[RenderableType]:
    if story.survivor:
        alike = f"{story.survivor.similarity:.2f} of {story.near_ngram}-grams shared"
        went = f"Dropped too ({story.survivor.reason})" if story.survivor.reason else "Kept in its place"
        yield Text(f"{went}: {plain(story.survivor.name)} ({story.survivor.id}; {alike}).")
    for other in story.stands_for:
        yield Text(f"Dropped for it: {plain(other.name)} ({other.id}; {other.similarity:.2f} shared).")
    if story.duplicates > len(story.stands_for):
        yield Text(f"… and {story.duplicates - len(story.stands_for):,} more.")
    if story.reason == EXISTING:
        yield Text(f"It stands in an existing corpus as {plain(story.detail or '')}.")
    for shared in story.shared:
        yield Text(f"Shares {counted(shared.runs, 'run')} of 13 words with {plain(shared.item)}: “{_short(shared.excerpt)}”")
    if story.personal:
        for kinds, done in ((story.masked, "masked"), (story.personal.keys() - story.masked, "left as it is")):
            if found := ", ".join(f"{count:,} {words_of(kind)}" for kind, count in story.personal.items() if kind in kinds):
                yield Text(f"Personal data: {found}; {done}.")


def _short(text: str) -> str:
    """One line of an excerpt."""
    joined = plain(" ".join(text.split()))
    return joined if len(joined) <= _EXCERPT else f"{joined[:_EXCERPT]}…"
