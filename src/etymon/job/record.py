"""The record of a finished run: ``runs``, ``show``, ``clean`` and the workspace's board start from it."""

from etymon.board.entries import Entry
from etymon.evidence.run_record import RUN
from etymon.recipe import Recipe
from etymon.store import Config, Draft, Stage


class RunMeaning(Config):
    """A finished run: its recipe and what it puts on the board."""

    recipe: Recipe
    entries: tuple[Entry, ...]


class RunExecution(Config):
    """A record is only written."""


def _write_record(draft: Draft[RunMeaning, RunExecution]) -> None:
    (draft.folder / "recipe.json").write_text(draft.meaning.recipe.model_dump_json(indent=1), "utf-8")
    draft.facts |= {"name": draft.meaning.recipe.name}


run_stage = Stage(RUN, 1, _write_record, RunMeaning, RunExecution)
"""Inputs: every artifact of the run, by its role; ``etymon.evidence.run_record`` reads them."""
