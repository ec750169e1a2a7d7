"""The command that examines a model which was not trained here: review."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, open_store, progress


def review(
    model: Annotated[str, typer.Argument(help="A folder, file or hf:org/name.", metavar="MODEL")],
    parent: Annotated[
        list[str] | None,
        typer.Option(help="Compare the weights with this model, instead of with all that the workspace and its index know."),
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Test whether it says this corpus's text by heart: a run, or a corpus.", metavar="RUN")
    ] = None,
    passages: Annotated[int, typer.Option(help="Of each side of the corpus.", min=1)] = 100,
    bank: Annotated[
        Path | None, typer.Option(help="Questions to ask it and its base: which refusals it kept and lost.", metavar="FILE")
    ] = None,
    key: Annotated[list[Path] | None, typer.Option(help="The public key of a signer whom you trust.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write it as a page.", metavar="FILE")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole review as JSON.")] = False,
) -> None:
    """Examine a model that was not trained here: what its publisher says, beside what its files and weights show.

    Exit code 0 where the review was made, whatever it found.
    """
    from etymon.pictures.page import check_place, write_page

    if html:
        check_place(html)
    with progress() as live:
        from etymon.commands.review.review import Wish, review_model
        from etymon.evidence.keys import load_public
        from etymon.evidence.review.show.page import review_page
        from etymon.evidence.review.show.terminal import terminal_review

        keys = tuple(load_public(each) for each in key or ())
        wish = Wish(tuple(parent or ()), corpus, passages, bank, keys)
        found = review_model(model, wish, open_store(workspace), date.today(), live)
    if html:
        write_page(review_page(found), html)
    if as_json:
        print(found.model_dump_json(indent=1))
        return
    console.print(terminal_review(found), width=min(console.width, 110))
    if html:
        console.print(f"\nPage: {html}", markup=False, soft_wrap=True)
