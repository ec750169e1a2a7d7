"""The board as a stage of a store: made once, from records, with nothing in it that was not given."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from board_records import DERIVATIVE, quickstart_meaning, write_quickstart

from etymon.board.entries import Entry
from etymon.board.stage import BoardExecution, board_stage, read_standings
from etymon.errors import EtymonError
from etymon.store import Store, file_digest, root_digest


@dataclass(frozen=True)
class Folder:
    """A finished evaluation, as the store hands it to a stage."""

    folder: Path
    name: str

    @property
    def digest(self):
        return root_digest({path.name: file_digest(path) for path in self.folder.iterdir()})


def test_a_board_is_made_once_and_repeats_to_the_byte(tmp_path):
    inputs = {role: Folder(folder, role) for role, folder in write_quickstart(tmp_path / "records").items()}
    made = []
    for name in ("one", "two"):
        artifact, known = Store(tmp_path / name).obtain(board_stage, inputs, quickstart_meaning(), BoardExecution())
        assert not known
        made.append(artifact)
    assert made[0].digest == made[1].digest
    assert set(made[0].manifest.files) == {"standings.json", "index.html", "pictures.html"} | {
        f"models/{digest * 6}.html" for digest in ("b1", "d2", "5c")
    }
    assert made[0].facts["models"][0] == DERIVATIVE
    assert made[0].facts["tasks"] == ["heldout", "mmlu_dev"]
    _, known = Store(tmp_path / "one").obtain(board_stage, inputs, quickstart_meaning(), BoardExecution())
    assert known
    standings = read_standings(made[0].folder)
    assert standings.rows[0].name == DERIVATIVE
    assert json.loads(made[0].file("standings.json").read_text())["version"] == 3


def test_an_evaluation_that_was_not_given_is_named(tmp_path):
    meaning = quickstart_meaning(Entry(name="m", digest="0", parameters=1, evaluations=("nowhere",)))
    inputs = {role: Folder(folder, role) for role, folder in write_quickstart(tmp_path / "records").items()}
    with pytest.raises(EtymonError, match="'nowhere'"):
        Store(tmp_path / "s").obtain(board_stage, inputs, meaning, BoardExecution())
    assert not (tmp_path / "s" / "artifacts").exists()
