"""Commands about where models come from: lineage, family."""

from pathlib import Path
from typing import Annotated

import typer

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, open_store, progress
from etymon.errors import EtymonError


def lineage(
    model: Annotated[str, typer.Argument(help="A run, folder, alias, file or hf:org/name.", metavar="MODEL")],
    parents: Annotated[
        list[str] | None, typer.Argument(help="The supposed parent; several for a merge.", metavar="[PARENT]...")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="What the parents were trained from: merge weights are then those of their changes.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write it as a page with pictures.", metavar="FILE")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole evidence as JSON.")] = False,
) -> None:
    """Decide from the weights whether MODEL is related to PARENT, or, without one, to the foundation
    of any run here or a model of the index.

    With several parents, or one and a base, also with what weights MODEL was merged from them.
    """
    _check_place(html)
    with progress() as live:
        from etymon.commands.identify import identify
        from etymon.commands.lineage import lineages_of, merge_of
        from etymon.lineage.attribute.words import merge_lines
        from etymon.lineage.show.page import lineage_page
        from etymon.lineage.show.terminal import WIDTH, terminal_lineage
        from etymon.pictures.page import write_page

        store, named, identified = open_store(workspace), parents or [], None
        if base is not None and not named:
            raise EtymonError("--base is what the parents of a merge were trained from, and no parent is given.", "Name one.")
        if len(named) > 1 or base is not None:
            found, merge = merge_of(model, named, base, store, live)
        else:
            if not named:
                identified = identify(model, store, live)
            found, merge = identified.lineages if identified else lineages_of(model, named, store, live), None
    more = [*(merge_lines(merge) if merge else []), *(identified.lines() if identified else [])]
    if html:
        write_page(lineage_page(model, found, more), html)
    if as_json:
        records = [*found, *([merge] if merge else []), *(identified.candidates if identified else ())]
        print("[" + ",\n".join(each.model_dump_json(indent=1) for each in records) + "]")
        return
    for each in found:
        console.print(terminal_lineage(each), width=min(console.width, WIDTH))
        console.print()
    for line in more:
        console.print(line, markup=False, soft_wrap=True)
    _told_page(html)


def family(
    models: Annotated[list[str], typer.Argument(help="Runs, folders, aliases, files or hf:org/name.", metavar="MODEL...")],
    html: Annotated[Path | None, typer.Option(help="Also write it as a page with a picture.", metavar="FILE")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print trees and pairs as JSON.")] = False,
) -> None:
    """Draw the family tree of models, from their weights: every pair is compared."""
    _check_place(html)
    with progress() as live:
        from etymon.commands.lineage import family_of_models
        from etymon.lineage.show.family import family_page
        from etymon.lineage.show.terminal import WIDTH, terminal_family
        from etymon.pictures.page import write_page

        found = family_of_models(models, open_store(workspace), live)
    if html:
        write_page(family_page(found), html)
    if as_json:
        print(found.model_dump_json(indent=1))
        return
    console.print(terminal_family(found), width=min(console.width, WIDTH))
    _told_page(html)


def _check_place(html: Path | None) -> None:
    if html:
        from etymon.pictures.page import check_place

        check_place(html)


def _told_page(html: Path | None) -> None:
    if html:
        console.print(f"Page: {html}", markup=False, soft_wrap=True)
