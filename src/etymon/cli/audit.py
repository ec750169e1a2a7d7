"""Who asked a service, and what was decided: audit."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console
from etymon.errors import EtymonError
from etymon.text.counted import counted

if TYPE_CHECKING:
    from etymon.serve.audit.records import Records, Total

_NEWEST = 50
_SHOWN = ("time", "key", "model", "endpoint", "status", "outcome", "code", "rule", "prompt_tokens", "completion_tokens", "ms")
_LEFT_OUT = ("completion_tokens", "prompt_tokens", "ms", "endpoint", "code", "model")
"""Columns that go where there is no room for all, the first one first."""


def audit(
    since: Annotated[str | None, typer.Option(help="7d, 24h, 30m, or a day such as 2026-11-29.")] = None,
    key: Annotated[str | None, typer.Option(help="Of this key alone: its id, or whose it is.")] = None,
    model: Annotated[str | None, typer.Option(help="To this model alone.")] = None,
    outcome: Annotated[
        Literal["answered", "refused", "failed", "left"] | None, typer.Option(help="With this outcome alone.")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="That broke this rule of the policy.")] = None,
    request: Annotated[str | None, typer.Option("--id", help="This request alone: the x-request-id of its answer.")] = None,
    by: Annotated[Literal["model", "key", "day"] | None, typer.Option(help="Sums in place of records.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of them, an object a line.")] = False,
    prune: Annotated[int | None, typer.Option(help="Remove what is older, first.", metavar="DAYS", min=1, max=36_500)] = None,
    database: Annotated[
        str | None, typer.Option("--audit", envvar="ETYMON_AUDIT", help="[WORKSPACE/serve/audit.sqlite]", metavar="URL")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """The requests that `etymon serve` answered or refused: who asked which model, how much, and what the policy decided."""
    from sqlalchemy.exc import SQLAlchemyError

    from etymon.serve.audit.records import Wanted, moment, open_records, reason

    begin = moment(since, datetime.now(UTC)) if since else None
    records = open_records(workspace, database, new=False)
    try:
        keys = None if key is None else _keys(key, workspace, records)
        _refuse_unknown(records, "model", model)
        _refuse_unknown(records, "rule", rule)
        if request is not None and not records.count(Wanted(id=request)):
            raise EtymonError(f"There is no record of a request {request!r}.", "It is the x-request-id of its answer.")
        wanted = Wanted(begin, request, keys, model, outcome, rule)
        if prune is not None:
            typer.echo(f"{records.prune(prune):,} records older than {prune:,} days are removed.", err=True)
        if by is not None:
            _print_totals(records.totals(wanted, by), by, as_json=as_json)
        elif as_json:
            for record in records.read(wanted):
                print(json.dumps(record, ensure_ascii=False))
        else:
            _print_newest(list(records.read(wanted, _NEWEST)), records.count(wanted))
    except SQLAlchemyError as error:
        raise EtymonError(f"The records cannot be read: {reason(error)}.", "Look whether the database is whole.") from None
    finally:
        records.close()


def _print_newest(newest: list[dict[str, Any]], count: int) -> None:
    names = [name for name in _SHOWN if any(record[name] not in (None, "") for record in newest)]
    titles = {name: "time (UTC)" if name == "time" else name.replace("_", " ") for name in names}
    widths = {name: max(len(titles[name]), *(len(_shown(name, each[name])) for each in newest)) for name in names}
    for name in _LEFT_OUT:
        if sum(widths.values()) + 2 * len(widths) > console.width:
            widths.pop(name, None)
    table = Table(box=None, pad_edge=False)
    for name in widths:
        table.add_column(titles[name], overflow="fold")
    for record in newest:
        table.add_row(*(Text(_shown(name, record[name])) for name in widths))
    if newest:
        console.print(table)
    shown = f", the newest {len(newest)} shown; --json prints all" if count > len(newest) else ""
    console.print(f"{counted(count, 'request')}{shown}.")
    if left_out := [titles[name] for name in names if name not in widths]:
        console.print(f"No room for: {', '.join(left_out)}. --json prints all of it.", style="dim")


def _shown(name: str, value: object) -> str:
    """A value in little room: `11-29 11:34:33` for a time, `chat` for `chat/completions`."""
    if value is None:
        return ""
    text = str(value)
    if name == "time":
        return text[5:19].replace("T", " ")
    return text.removesuffix("/completions") if name == "endpoint" else text


def _keys(given: str, workspace: Path, records: "Records") -> tuple[str, ...]:
    """The ids of the keys that are called so. Raises EtymonError where neither a key nor a record knows it."""
    from etymon.serve.audit.records import Wanted
    from etymon.serve.gateway.keys import KeyFile

    known = tuple(each.id for each in KeyFile(workspace / "serve" / "keys.json").read() if given in (each.id, each.name))
    if not known and not records.count(Wanted(keys=(given,))):
        raise EtymonError(f"There is no key {given!r}, and no record of one.", "`etymon serve keys list` shows them.")
    return known or (given,)


def _refuse_unknown(records: "Records", name: Literal["model", "rule"], given: str | None) -> None:
    known = [] if given is None else records.known(name)
    if given is not None and given not in known:
        those = f"There are records of: {', '.join(known)}." if known else f"No record names a {name}."
        raise EtymonError(f"There is no record of the {name} {given!r}.", those)


def _print_totals(totals: "list[Total]", by: str, *, as_json: bool) -> None:
    if as_json:
        for total in totals:
            print(json.dumps({by: total.of, **{name: value for name, value in asdict(total).items() if name != "of"}}))
        return
    names = ("requests", "answered", "refused", "failed", "left", "prompt_tokens", "completion_tokens")
    table = Table(by, box=None, pad_edge=False)
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for total in totals:
        table.add_row(Text(total.of or "none"), *(f"{getattr(total, name):,}" for name in names))
    console.print(table if totals else "No requests.")
