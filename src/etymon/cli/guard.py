"""How well the guard of a service's policy tells apart what may be asked."""

from pathlib import Path
from typing import Annotated

import typer

from etymon.cli.common import console
from etymon.errors import EtymonError

_SHOWN = 160
"""Characters of a question that are shown."""


def guard(
    policy: Annotated[Path, typer.Argument(help="The policy of a service, a YAML file.", metavar="POLICY")],
    bank: Annotated[
        Path | None,
        typer.Option("--bank", help="CSV or JSON lines with `question`, `test`, `risk`, and `side: output` for answers."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Put a bank of questions and answers to a guard: what it refuses that it should, and that it should not."""
    try:
        from etymon.commands.guard import Rate, measure_guard
    except ModuleNotFoundError as error:
        raise EtymonError(f"The guard needs {error.name}.", "Install it: pip install 'etymon[serve]'.") from None

    found = measure_guard(policy, bank)
    if as_json:
        print(found.model_dump_json(indent=1))
        return

    def told(what: str, rate: Rate | None) -> None:
        if rate is None:
            console.print(f"{what}: the bank has no such question", markup=False)
            return
        share, low, high = (f"{100 * each:.0f}" for each in (rate.share, rate.low, rate.high))
        console.print(f"{what}: {rate.refused} of {rate.questions} refused, {share}%  ({low} to {high})", markup=False)

    told("must not be answered", found.refusal)
    told("must be answered", found.over_refusal)
    if found.output_refusal or found.output_over_refusal:
        told("answers that must not be given", found.output_refusal)
        told("answers that may be given", found.output_over_refusal)
    for rule, count in found.by_rule.items():
        console.print(f"  {rule}: {count}", markup=False)
    for each in found.refused_wrongly:
        console.print(f"  refused wrongly by {each.rule}: {_line(each.question)}", markup=False, soft_wrap=True)
    for each in found.missed:
        console.print(f"  not refused: {_line(each.question)}", markup=False, soft_wrap=True)
    if found.bank_too_small:
        console.print("The bank that is shipped is for trying out: far too small to say anything. Give yours with --bank.")


def _line(text: str) -> str:
    """A text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
