"""The service: serve, and the keys of its clients."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, open_store
from etymon.errors import EtymonError
from etymon.foundation.gguf.quantisation import Quantisation

if TYPE_CHECKING:
    from etymon.serve.gateway.keys import KeyFile
    from etymon.serve.gateway.models import Card
    from etymon.serve.gateway.settings import Service

_DEFAULT = "models"


class _ModelsUnlessKeys(TyperGroup):
    """``etymon serve MODEL…`` serves; ``etymon serve keys …`` is about keys."""

    def parse_args(self, ctx, args):  # type: ignore[no-untyped-def]
        if args[:1] != ["keys"]:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


class _Unnamed(typer.Context):
    """Of a command that its group runs without being told its name."""

    @property
    def command_path(self) -> str:
        assert self.parent
        return self.parent.command_path


class _Serve(TyperCommand):
    context_class = _Unnamed


app = typer.Typer(cls=_ModelsUnlessKeys, add_completion=False)
keys_app = typer.Typer(help="Keys of clients: made, listed, revoked.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")


@app.command(_DEFAULT, cls=_Serve)
def serve_models(
    model: Annotated[
        list[str] | None,
        typer.Argument(help="Runs, folders, aliases, .gguf files; with --engine, names there.", metavar="MODEL"),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Models and limits as a YAML file, read again at SIGHUP.")] = None,
    engine: Annotated[str | None, typer.Option(help="An OpenAI-compatible server: vLLM, SGLang …", metavar="URL")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens of a request and its answer.", min=32)] = None,
    parallel: Annotated[int | None, typer.Option(help="Requests computed together. [8]", min=1, max=256)] = None,
    quantize: Annotated[
        Quantisation | None, typer.Option(help="How a model that is no GGUF is written as one. [f16]")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Permitted uses, what is refused, labels, what is kept: a YAML file, read again too.")
    ] = None,
    audit: Annotated[
        str | None,
        typer.Option(envvar="ETYMON_AUDIT", help="Database of requests. [WORKSPACE/serve/audit.sqlite]", metavar="URL"),
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen; beyond this machine only with keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any that is free.", min=0, max=65535)] = 8080,
    drain: Annotated[int, typer.Option(help="Seconds that running answers get at the end.", min=0)] = 60,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Serve models by OpenAI's API. `etymon serve keys` makes, lists and revokes the keys of its clients."""
    try:
        from etymon.serve.gateway.server import Startup, serve
    except ModuleNotFoundError as error:
        raise EtymonError(f"The service needs {error.name}.", "Install it: pip install 'etymon[serve]'.") from None
    from etymon.commands.service import opener
    from etymon.serve.audit.records import open_records
    from etymon.serve.gateway.settings import ModelEntry, Service, read_service

    given = {"context": context, "parallel": parallel, "quantize": quantize}
    options = {name: value for name, value in given.items() if value is not None}
    if (config is not None) == bool(model or engine):
        raise EtymonError("Say what to serve.", "Name models: `etymon serve MODEL`; or give --config FILE, and no models.")
    if config is not None and options:
        raise EtymonError(f"--{next(iter(options))} is for models named here.", f"Write it beside each model in {config}.")
    if engine is not None and quantize is not None:
        raise EtymonError("--quantize is for models that are computed here.", "Leave it out beside --engine.")

    def read() -> "Service":
        if config is not None:
            service = read_service(config)
            return service.model_copy(update={"policy": policy or service.policy})
        elsewhere = {"engine": engine} if engine is not None else {}
        names: list[str | None] = [*model] if model else [None]
        entries = (ModelEntry.model_validate({"model": name, **elsewhere, **options}) for name in names)
        return Service(models=tuple(entries), policy=policy)

    records = open_records(workspace, audit, new=True)
    find = opener(open_store(workspace))
    serve(Startup(read, find, _file(workspace).path, records, host, port, drain, _ready))


def _ready(address: str, cards: "list[Card]", keys: bool) -> None:
    console.print(f"[bold]Serving[/] {address}/v1", soft_wrap=True)
    for card in cards:
        facts = [f"sha256 {card.digest[:16]}…" if card.digest else f"at {card.source}"]
        facts += [f"from {card.base}"] if card.base else []
        facts += [f"context {card.context:,}"] if card.context else []
        console.print(Text.assemble("        ", (card.name, "bold"), "  ", ", ".join(facts)), soft_wrap=True)
    said = "asked for" if keys else "none: this machine alone is answered. `etymon serve keys new NAME` makes one"
    console.print(f"Keys    {said}", soft_wrap=True)


@keys_app.command("new")
def new_key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    operator: Annotated[bool, typer.Option("--operator", help="It also opens /metrics.")] = False,
    days: Annotated[int | None, typer.Option(help="It ends after so many.", min=1, max=36_500)] = None,
    model: Annotated[list[str] | None, typer.Option(help="The only model it opens; can be given again.")] = None,
    requests: Annotated[int | None, typer.Option(help="A minute.", min=1)] = None,
    tokens: Annotated[int | None, typer.Option(help="A minute, read and written.", min=1)] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Make a key. It is printed once, and kept as a digest."""
    from etymon.serve.gateway.keys import Role

    file = _file(workspace)
    others = [key.id for key in file.read() if key.name == name]
    key, secret = file.new(
        name,
        Role.operator if operator else Role.user,
        days=days,
        models=tuple(model) if model else None,
        requests_per_minute=requests,
        tokens_per_minute=tokens,
    )
    print(secret)
    typer.echo(f"Key {key.id} of {name}. Keep it: it cannot be shown again.", err=True)
    if others:
        typer.echo(f"{name} has another already: {', '.join(others)}. `etymon serve keys revoke ID` ends one.", err=True)


@keys_app.command("list")
def list_keys(workspace: Workspace = DEFAULT_WORKSPACE) -> None:
    """The keys, without the keys."""
    table = Table("id", "name", "role", "made", "ends", "models", "a minute", box=None, pad_edge=False)
    for key in _file(workspace).read():
        limits = [f"{key.requests_per_minute:,} requests"] if key.requests_per_minute else []
        limits += [f"{key.tokens_per_minute:,} tokens"] if key.tokens_per_minute else []
        ends = key.expires.date().isoformat() if key.expires else "never"
        models = ", ".join(key.models) if key.models is not None else "all"
        cells = (key.id, key.name, key.role.value, key.created.date().isoformat(), ends, models, ", ".join(limits))
        table.add_row(*(Text(cell) for cell in cells))
    if table.row_count:
        console.print(table)
    else:
        console.print("No keys. `etymon serve keys new NAME` makes one.")


@keys_app.command("revoke")
def revoke_key(
    id: Annotated[str, typer.Argument(help="As `etymon serve keys list` shows it.")], workspace: Workspace = DEFAULT_WORKSPACE
) -> None:
    """Forget a key. A running service refuses it within a second."""
    key = _file(workspace).revoke(id)
    console.print(Text(f"Key {key.id} of {key.name} is revoked."))


def _file(workspace: Path) -> "KeyFile":
    from etymon.serve.gateway.keys import KeyFile

    return KeyFile(workspace / "serve" / "keys.json")
