"""What a finished stage says of itself in one line."""

from collections.abc import Mapping, Sequence
from typing import Any

from etymon.evaluate.suites import SUITES
from etymon.foundation.model import Model
from etymon.statistics.macro import macro_average
from etymon.store import Artifact
from etymon.text.counted import counted

_SHARES_TOLD = 6


def foundation_line(model: Model) -> str:
    facts = model.facts
    return f"{model.name}: {facts.architecture}, {facts.parameters / 1e6:,.0f}M parameters, {facts.license}"


def corpus_line(corpus: Artifact) -> str:
    facts = corpus.facts
    dropped, waived = sum(facts["drops"].values()), facts.get("waived", [])
    line = (
        f"{counted(facts['documents_train'], 'document')} to learn from, {facts['documents_heldout']:,} held out "
        f"({facts['heldout_units']} of {counted(facts['units'], 'unit')}), {dropped:,} dropped"
    )
    items = facts["evaluation_items"]
    if short := sum(items["too_short"].values()):
        line += f"; {short:,} of {counted(items['items'], 'evaluation item')} too short to be looked for"
    if facts["mixture"]:
        line += f"; {mixture_words(facts['mixture'])}"
    return f"{line}; waived: {', '.join(sorted({each['rule'] for each in waived}))}" if waived else line


def mixture_words(shares: Sequence[Mapping[str, Any]]) -> str:
    """``mixture of 12,000 tokens: manuals 75% (1.5 times), tickets 25% (0.3 times)``, the largest first, all of few."""
    largest = sorted(shares, key=lambda each: -each["mixed"])
    told = [f"{each['source']} {each['share']:.0%} ({each['epochs']:.2g} times)" for each in largest[:_SHARES_TOLD]]
    if len(largest) > _SHARES_TOLD:
        told.append(f"and {counted(len(largest) - _SHARES_TOLD, 'more source')}")
    asked, mixed = (sum(each[name] for each in shares) for name in ("asked", "mixed"))
    missed = f" ({asked:,} asked for; documents are drawn whole)" if abs(asked - mixed) > asked / 100 else ""
    return f"mixture of {mixed:,} tokens{missed}: {', '.join(told)}"


def training_line(trained: Artifact) -> str:
    facts = trained.facts
    return (
        f"{facts['tokens']:,} tokens in {counted(facts['steps'], 'step')}, {facts['epochs']:.2f} passes; "
        f"loss {facts['first_loss']:.2f} → {facts['final_loss']:.2f}, {facts['tokens_per_second']:,.0f} tokens/s"
    )


def score_line(evaluation: Artifact) -> str:
    """The main metric with its interval."""
    metric = evaluation.facts["main_metric"]
    score = evaluation.facts["metrics"][metric]
    known = score["low"] is not None and score["high"] is not None
    interval = f"{score['low']:.3f} to {score['high']:.3f}" if known else "interval not known"
    return f"{metric} {score['score']:.3f} ({interval}, n = {score['n']})"


def suite_line(suite: str, scores: Mapping[str, Artifact]) -> str | None:
    """A suite's aggregate with its standard error, if it has one: the tasks' errors are independent, SE² = T⁻² Σ SE_t²."""
    tasks = [each.task for each in SUITES[suite].tasks]
    if SUITES[suite].aggregate == "none":
        return None
    if missing := [task for task in tasks if task not in scores]:
        return f"no mean: {', '.join(missing)} was not measured"
    found = [scores[task].facts["metrics"][scores[task].facts["main_metric"]] for task in tasks]
    mean, error = macro_average([(each["score"], each["stderr"]) for each in found])
    interval = "" if error is None else f" ± {1.96 * error:.3f}"
    return f"mean {mean:.3f}{interval} of {len(found)} tasks"


def evidence_line(evidence: Artifact) -> str:
    facts = evidence.facts
    to_do = facts["obligations_to_do"] + facts["obligations_unmet"]
    met = f"{facts['obligations_met']} met, {to_do} left to you"
    line = f"{counted(facts['statements'], 'statement')}, bill of materials, model card; licence obligations: {met}"
    waived = sorted({each["rule"] for each in facts["licence_conflicts_waived"]})
    return f"{line}; waived: {', '.join(waived)}" if waived else line


def board_line(board: Artifact) -> str:
    return f"{counted(len(board.facts['models']), 'model')}, {counted(len(board.facts['tasks']), 'task')}"
