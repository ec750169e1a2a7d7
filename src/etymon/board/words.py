"""Figures and sentences as people read them, the same on the terminal and on the page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etymon.board.entries import LineageLine, Screening
from etymon.board.flags import Flag
from etymon.board.standings import Appearance, Cell, Change, Column, Overall, Rank, Row, Score, Standings, Training
from etymon.text.counted import counted
from etymon.text.plain import plain as plain

MISSING = "—"
MINUS = "−"
_METRICS = {"acc": "accuracy", "acc_norm": "accuracy by length", "acc_bytes": "accuracy by bytes"}


def metric_name(metric: str) -> str:
    return plain(_METRICS.get(metric, metric.replace("_", " ")))


def column_name(column: Column, columns: Sequence[Column]) -> str:
    """The task's name, with its identity where the board has the task in more than one."""
    identities = {other.identity for other in columns if other.task == column.task}
    return plain(column.task) if len(identities) == 1 else f"{plain(column.task)} · {plain(column.identity[:8])}"


def direction(column: Column) -> str:
    return "higher is better" if column.higher_is_better else "lower is better"


def order_in_words(columns: Sequence[Column]) -> str:
    if not columns:
        return "In the order given: nothing was scored."
    first = columns[0]
    end = "highest first" if first.higher_is_better else "lowest first"
    return f"Ordered by {column_name(first, columns)} ({metric_name(first.metric)}), {end}; models without it come last."


@dataclass(frozen=True)
class Figures:
    """How one column's figures are written: shares as percentages, others with the decimals that their errors deserve."""

    binary: bool
    decimals: int

    def score(self, value: float) -> str:
        return self._number(value) + ("%" if self.binary else "")

    def change(self, value: float) -> str:
        """A difference with its sign; of shares in percentage points."""
        return ("+" if value > 0 else "") + self._number(value) + (" pp" if self.binary else "")

    def deviation(self, value: float) -> str:
        """A spread with two significant digits: ``0.0042``, ``1.3 pp``."""
        return f"{100 * value:.2g} pp" if self.binary else f"{value:.2g}"

    def interval(self, score: Score) -> str:
        """``1.087 to 1.129``, without a unit; a dash where the interval is not known."""
        if score.low is None or score.high is None:
            return MISSING
        return f"{self._number(score.low)} to {self._number(score.high)}"

    def signed_interval(self, score: Score) -> str:
        """``−0.224 to −0.181``; a dash where the interval is not known."""
        if score.low is None or score.high is None:
            return MISSING
        low, high = (self.change(bound).removesuffix(" pp") for bound in (score.low, score.high))
        return f"{low} to {high}"

    def _number(self, value: float) -> str:
        shown = f"{100 * value if self.binary else value:.{self.decimals}f}"
        if float(shown) == 0:
            shown = shown.removeprefix("-")
        return shown.replace("-", MINUS)


def column_figures(standings: Standings) -> dict[str, Figures]:
    """How the figures of every column are written, by column key."""
    return {column.key: _figures(standings, column) for column in standings.columns}


def _figures(standings: Standings, column: Column) -> Figures:
    """Two digits of the smallest standard error in the column are worth printing; of shares, one decimal of a percent."""
    if column.binary:
        return Figures(True, 1)
    cells = [row.cells[column.key] for row in standings.rows if column.key in row.cells]
    errors = [cell.score.stderr for cell in cells if cell.score.stderr]
    decimals = 1 - math.floor(math.log10(min(errors))) if errors else 3
    return Figures(False, min(max(decimals, 2), 4))


def rank_in_words(rank: Rank) -> str:
    places = str(rank.best) if rank.best == rank.worst else f"{rank.best}–{rank.worst}"
    return f"rank {places} of {rank.of}"


def verdict_in_words(change: Change) -> str:
    return {"better": "clearly better", "worse": "clearly worse", "unclear": "no clear difference", None: ""}[change.verdict]


def verdict_against_base(change: Change) -> str:
    return {"better": "clearly better than base", "worse": "clearly worse than base"}.get(
        change.verdict or "", "no clear difference from base"
    )


def seeds_in_words(shown: Figures, training: Training) -> str:
    """``mean of 3 seeds, sd 0.0042``."""
    return f"mean of {len(training.scores)} seeds, sd {shown.deviation(training.deviation)}"


def each_seed_in_words(shown: Figures, training: Training) -> str:
    """``1.087 (seed 0) · 1.092 (seed 1)``."""
    return " · ".join(f"{shown.score(each.value)} (seed {each.seed})" for each in training.scores)


def earned_in_words(shown: Figures, cell: Cell) -> str:
    """``−0.041 (−0.066 to −0.017)``, or what it would take to measure it; empty where there is no base to compare with."""
    if cell.earned:
        difference = cell.earned.difference
        return f"{shown.change(difference.value)} ({shown.signed_interval(difference)})"
    return f"not measured (it takes {cell.earned_lacks})" if cell.earned_lacks else ""


def other_metrics(standings: Standings, figures: Mapping[str, Figures], column: Column, row: Row) -> list[str]:
    """The model's other metrics of the column's task, each with its change from the base: ``logprob right −1.53 (+0.02)``."""
    lines = []
    for other in standings.columns:
        cell = row.cells.get(other.key)
        if cell and (other.task, other.identity) == (column.task, column.identity) and other.key != column.key:
            shown = figures[other.key]
            change = f" ({shown.change(cell.change.difference.value)})" if cell.change else ""
            lines.append(f"{metric_name(other.metric)} {shown.score(cell.score.value)}{change}")
    return lines


def p_in_words(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.{2 if p_value >= 0.095 else 3}f}"


def items_in_words(change: Change) -> str:
    """``gained 8 · lost 10``; empty for metrics whose items are not right or wrong."""
    return "" if change.gained is None else f"gained {change.gained} · lost {change.lost}"


def count_in_words(count: int | None) -> str:
    """``134.5M``, ``40,000``; a dash for what is not known."""
    if count is None:
        return MISSING
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if count >= 0.9995 * size:
            scaled = count / size
            return f"{scaled:.0f}{letter}" if scaled >= 99.95 else f"{scaled:.3g}{letter}"
    return f"{count:,}"


def base_in_words(row: Row) -> str:
    if row.derived_from:
        return f"from {plain(row.derived_from)}" + (", baseline" if row.is_baseline else "")
    return "baseline" if row.is_baseline else "base model"


def lineage_in_words(lineage: LineageLine) -> str:
    """``related (p < 0.001)``."""
    return lineage.verdict + (f" ({p_in_words(lineage.p_value)})" if lineage.p_value is not None else "")


def flag_in_words(flag: Flag) -> str:
    """``child: undeclared relation to base (open): 93% of neurons agree, p < 0.001 after allowing for 630 pairs``."""
    if flag.ground == "matrices":
        shared = counted(flag.shared_matrices or 0, "matrix is", "matrices are")
        why = f"{shared} the same bit for bit, {flag.shared_share:.0%} of its parameters"
    else:
        why = f"{flag.effect or 0:.0%} of the sampled neurons agree"
        if flag.p_adjusted is not None:
            why += f", {p_in_words(flag.p_adjusted)} after allowing for {counted(flag.pairs, 'pair')}"
    if flag.order_disputed:
        why += f". {dispute_in_words(flag)}"
    return f"{plain(flag.model)}: undeclared relation to {plain(flag.other)} ({flag.state}): {why}"


def dispute_in_words(flag: Flag) -> str:
    """What dates and weights say where they disagree about which of the two came first."""
    model, other = plain(flag.model), plain(flag.other)
    if flag.released and flag.other_released:
        dates = f"{model} was released on {flag.released}, {other} on {flag.other_released}"
    else:
        dates = f"{model} was listed after {other}"
    return f"Which came first is disputed: {dates}, but by the weights {other} came from {model}; the operator decides"


def steps_in_words(flag: Flag) -> list[str]:
    """``2026-03-02 contested: we did declare it``, one line a step."""
    return [f"{step.date} {step.state}{f': {plain(step.text)}' if step.text else ''}" for step in flag.steps]


def overall_in_words(overall: Overall) -> str:
    """``overall 41.2 (38.0 to 44.4), rank 1–2 of 5``."""
    found = overall.score
    interval = f" ({found.low:.1f} to {found.high:.1f})" if found.low is not None and found.high is not None else ""
    return f"overall {found.value:.1f}{interval}, {rank_in_words(overall.rank)}"


def reuse_in_words(row: Row) -> list[str]:
    """``architecture of yi``, ``tokenizer of llama``: neutral, for neither says where the weights come from."""
    shapes = [plain(each.other) for each in row.reuse if each.architecture][:1]
    tokens = [plain(each.other) for each in row.reuse if each.tokenizer][:1]
    return [f"architecture of {name}" for name in shapes] + [f"tokenizer of {name}" for name in tokens]


def appearance_in_words(shown: Figures, appearance: Appearance) -> str:
    """``2025-04-01 mine: 3.2 pp behind theirs``."""
    begun = f"{appearance.date} {plain(appearance.model)}: "
    if appearance.leader == appearance.model:
        return begun + "took the lead"
    if appearance.behind == 0:
        return f"{begun}level with {plain(appearance.leader)}"
    return f"{begun}{shown.change(appearance.behind).removeprefix('+')} behind {plain(appearance.leader)}"


def board_in_words(standings: Standings) -> list[str]:
    """What a board that is a file says of itself: its aggregate, its screening, its bases, who was removed."""
    lines = []
    if standings.aggregate:
        lines.append(f"Overall: {standings.aggregate.in_words}.")
    if screening := standings.screening:
        lines.append(f"Screened for undeclared kin: {screening_in_words(screening)}.")
        lines += siblings_in_words(screening)
    lines += [
        f"{each.share:.0%} of the listed models rest on {plain(each.base)} ({len(each.models)} of them)."
        for each in standings.dependences
        if len(each.models) > 1
    ]
    lines += [f"Removed on {each.date}: {plain(each.model)}: {plain(each.reason)}" for each in standings.removed]
    return lines


def screening_in_words(screening: Screening) -> str:
    """``630 pairs, of which 400 were ruled out by their fingerprints alone; 190 more are declared kin``."""
    apart = [f"{screening.ruled_out:,} were ruled out by their fingerprints alone"] if screening.ruled_out else []
    apart += [f"{screening.untested:,} could not be tested"] if screening.untested else []
    of_which = f", of which {' and '.join(apart)}" if apart else ""
    return f"{counted(screening.pairs, 'pair')}{of_which}; {counted(screening.declared, 'more is', 'more are')} declared kin"


def siblings_in_words(screening: Screening) -> list[str]:
    """The nearest of the pairs that declare one origin and not each other, which accuses nobody; and how many are missing."""
    lines = []
    if screening.siblings:
        nearest = screening.siblings[0]
        told = f"{nearest.shared_share:.0%} of the parameters are the same bit for bit"
        if nearest.distance is not None:
            told += f", and layers differ by {nearest.distance:.2%}"
        lines.append(
            f"{counted(len(screening.siblings), 'pair')} of declared siblings, measured and not tested; the nearest are "
            f"{plain(nearest.model)} and {plain(nearest.other)}: {told}."
        )
    if screening.unmeasured:
        lines.append(f"{counted(screening.unmeasured, 'pair')} of declared siblings could not be measured.")
    return lines


def notes(standings: Standings) -> list[tuple[str, str]]:
    """What a reader must know of the scores: the task (and the model, where only its evaluation says so), and the note."""
    found = []
    for column in standings.main_columns:
        task = column_name(column, standings.columns)
        found += [(task, plain(note)) for note in column.notes]
        for row in standings.rows:
            if column.key in row.cells:
                found += [(f"{task}, {plain(row.name)}", plain(note)) for note in row.cells[column.key].notes]
    return found + [("", plain(note)) for note in standings.notes]


def findings(standings: Standings) -> list[str]:
    """One sentence for every derivative and task: where it stands against its base."""
    sentences, figures = [], column_figures(standings)
    for row in standings.rows:
        for column in standings.main_columns:
            cell = row.cells.get(column.key)
            if cell is None or cell.change is None or row.is_baseline:
                continue
            change, shown = cell.change, figures[column.key]
            seeds = f" ({seeds_in_words(shown, cell.training)})" if cell.training else ""
            verdict = f"{verdict_in_words(change)}."
            verdict += f" Earned by the new data: {earned_in_words(shown, cell)}." if cell.earned else ""
            sentences.append(
                f"{plain(row.name)} on {column_name(column, standings.columns)}: {shown.score(cell.score.value)} "
                f"{metric_name(column.metric)}{seeds}, its base {shown.score(change.inherited)}. "
                f"Difference {shown.change(change.difference.value)} "
                f"({standings.level:.0%} interval {shown.signed_interval(change.difference)}), {verdict}"
            )
    return sentences
