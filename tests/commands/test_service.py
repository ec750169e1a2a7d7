"""What the service finds of a file: its digest, and the card that was recorded for it, no other."""

import json
from pathlib import Path

import pytest
from tiny_gguf import write_tiny_gguf

from etymon.commands.service import opener
from etymon.serve.gateway.settings import ModelEntry
from etymon.store import Store
from etymon.store.digest import file_digest


def evidence(gguf: Path, tmp_path: Path) -> str | None:
    return opener(Store(tmp_path / "workspace"))(ModelEntry(model=str(gguf))).evidence


@pytest.mark.parametrize("papers", [".", "mine.papers"])
def test_the_card_of_an_export_is_found_and_only_as_it_was_recorded(tmp_path: Path, papers: str) -> None:
    gguf = write_tiny_gguf(tmp_path / "mine.gguf")
    assert evidence(gguf, tmp_path) is None
    folder = tmp_path / papers
    folder.mkdir(exist_ok=True)
    card, record = folder / "README.md", folder / "export.json"
    card.write_text("# mine\n", "utf-8")
    assert evidence(gguf, tmp_path) is None, "a card without a record may be that of anything"
    files = {"mine.gguf": file_digest(gguf), "README.md": file_digest(card)}
    record.write_text(json.dumps({"files": files}), "utf-8")
    assert evidence(gguf, tmp_path) == "# mine\n"
    card.write_text("# mine, and more\n", "utf-8")
    assert evidence(gguf, tmp_path) is None, "the card was changed"
    card.write_text("# mine\n", "utf-8")
    record.write_text(json.dumps({"files": files | {"mine.gguf": "0" * 64}}), "utf-8")
    assert evidence(gguf, tmp_path) is None, "the weights are others"


def test_a_card_that_leads_out_of_its_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "private").write_text("a secret", "utf-8")
    folder = tmp_path / "a strangers"
    folder.mkdir()
    gguf = write_tiny_gguf(folder / "mine.gguf")
    (folder / "README.md").symlink_to(tmp_path / "private")
    files = {"mine.gguf": file_digest(gguf), "README.md": file_digest(tmp_path / "private")}
    (folder / "export.json").write_text(json.dumps({"files": files}), "utf-8")
    assert evidence(gguf, tmp_path) is None


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"files": 1}', '{"files": [["a"]]}', '{"files": {}, "files": {}}', "\xff"]
)
def test_a_record_that_is_none_is_passed_over(tmp_path: Path, content: str) -> None:
    gguf = write_tiny_gguf(tmp_path / "mine.gguf")
    (tmp_path / "README.md").write_text("# mine\n", "utf-8")
    (tmp_path / "export.json").write_bytes(content.encode("latin-1"))
    assert evidence(gguf, tmp_path) is None
