"""The board as a stage: evaluations in, standings and page out."""

from pathlib import Path

from etymon.board.assemble import assemble_standings
from etymon.board.entries import BoardMeaning
from etymon.board.evaluations import read_evaluation
from etymon.board.pages.site import INDEX, STANDINGS, write_pages
from etymon.board.standings import Standings
from etymon.board.trainings import read_training
from etymon.errors import EtymonError
from etymon.store import Config, Draft, Stage

PAGE = INDEX


class BoardExecution(Config):
    """Nothing but the records decides a board."""


def build_board(draft: Draft[BoardMeaning, BoardExecution]) -> None:
    """Write ``standings.json`` and the pages: ``index.html``, ``pictures.html`` and one in ``models/`` for each model.

    Inputs: the evaluation and training artifacts that the entries name by role. Further inputs (lineage
    artifacts, whose verdicts the entries carry) are recorded in the manifest and not read.
    """
    given = [
        (model.name, role)
        for entry in draft.meaning.entries
        for model in (entry, *entry.repeats)
        for role in model.evaluations
    ]
    evaluations = {}
    clock = draft.clock("reading records", total=len(given), unit="evaluations")
    for done, (name, role) in enumerate(given, start=1):
        if role not in draft.inputs:
            raise EtymonError(f"The board's entry {name} names an evaluation {role!r} that was not given.")
        evaluations[role] = read_evaluation(Path(draft.inputs[role].folder))
        clock(done)
    trained = {entry.training for entry in draft.meaning.entries if entry.training in draft.inputs}
    runs = {role: read_training(Path(draft.inputs[role].folder)) for role in trained if role}
    digests = {role: draft.inputs[role].digest for role in evaluations}
    standings = assemble_standings(draft.meaning, evaluations, runs, digests)
    write_pages(standings, draft.folder)
    draft.facts.update(
        title=standings.title,
        models=[row.name for row in standings.rows],
        tasks=list(dict.fromkeys(column.task for column in standings.main_columns)),
        contrasts=sum(cell.change is not None for row in standings.rows for cell in row.cells.values()),
    )


def read_standings(folder: Path) -> Standings:
    """The standings of a finished board artifact."""
    return Standings.model_validate_json((folder / STANDINGS).read_bytes())


board_stage = Stage("board", 4, build_board, BoardMeaning, BoardExecution)
