"""All pages of a board, and a folder of them for others to read."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from etymon.board.pages.gallery import render_gallery
from etymon.board.pages.index import render_index
from etymon.board.pages.looks import column_looks
from etymon.board.pages.model import families, render_model
from etymon.board.pages.names import FOLDER, model_pages
from etymon.board.standings import Standings
from etymon.errors import EtymonError
from etymon.store.artifact import sync_folder

INDEX, GALLERY, STANDINGS = "index.html", "pictures.html", "standings.json"


def board_pages(standings: Standings) -> Iterator[tuple[str, str]]:
    """Every page as its file's name and its text: the index, the pictures, one a model."""
    looks, pages, family = column_looks(standings), model_pages(standings), families(standings)
    yield INDEX, render_index(standings, looks, pages)
    yield GALLERY, render_gallery(standings, looks, pages)
    for row in standings.rows:
        yield pages[row.name], render_model(standings, looks, pages, family, row)


def write_pages(standings: Standings, folder: Path) -> None:
    """The pages and ``standings.json``, in a folder that is there."""
    (folder / FOLDER).mkdir()
    (folder / STANDINGS).write_text(standings.model_dump_json(indent=1) + "\n", "utf-8")
    for name, text in board_pages(standings):
        (folder / name).write_text(text, "utf-8")


def publish(board: Path, target: Path) -> Path:
    """Copy a finished board's pages to a folder, whole or not at all; a board that is there already gives way.

    Raises EtymonError where the folder holds anything that no board wrote.
    """
    target = Path(os.path.realpath(target))
    _check_free(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as making:
        new, old = Path(making) / "new", Path(making) / "old"
        (new / FOLDER).mkdir(parents=True)
        for name in (INDEX, GALLERY, STANDINGS):
            shutil.copyfile(board / name, new / name)
        for page in (board / FOLDER).glob("*.html"):
            shutil.copyfile(page, new / FOLDER / page.name)
        sync_folder(new)
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    return target / INDEX


def _check_free(target: Path) -> None:
    if not target.exists():
        return
    remedy = "Name a folder that is not there yet, is empty, or holds a board's pages."
    if not target.is_dir():
        raise EtymonError(f"{target} is a file, not a folder for the board's pages.", remedy)
    found = {path.relative_to(target).as_posix() for path in target.rglob("*")}
    pages = {name for name in found if name.startswith(f"{FOLDER}/") and name.endswith(".html") and name.count("/") == 1}
    known = {INDEX, GALLERY, STANDINGS, FOLDER}
    if strange := sorted(found - known - pages):
        raise EtymonError(f"{target} holds {strange[0]}, which is no page of a board; it is left as it is.", remedy)
    if found and not known <= found:
        raise EtymonError(f"{target} is no folder of a board's pages: {sorted(known - found)[0]} is missing.", remedy)
