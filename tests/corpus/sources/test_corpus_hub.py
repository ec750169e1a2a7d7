"""Data sets of the hub: the files that are asked for, pinned to a commit, and from the cache where there is no network."""

import http.server
import json
import os
import subprocess
import sys
import threading
from hashlib import sha1
from pathlib import Path

import pytest
from huggingface_hub import constants

from etymon.corpus.sources.dataset_files import DatasetSource, card_configs, select_files
from etymon.corpus.sources.find import corpus_inputs
from etymon.corpus.stages.documents import DocumentsExecution, DocumentsMeaning, documents_stage
from etymon.corpus.stages.reading import SourceMeaning
from etymon.errors import EtymonError
from etymon.progress import silent
from etymon.recipe import Corpus
from etymon.store import DigestCache, Store

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = """---
license: mit
configs:
  - config_name: main
    default: true
    data_files:
      - split: train
        path: main/train-*.jsonl
      - {split: test, path: [main/test-*.jsonl]}
  - config_name: socratic
    data_dir: socratic
    data_files: "**/*.jsonl"
---
# A data set
"""
FILES = {
    "README.md": CARD, ".gitattributes": "", "dataset_infos.json": "{}",
    "main/train-00000-of-00002.jsonl": '{"text": "one"}\n', "main/train-00001-of-00002.jsonl": '{"text": "two"}\n',
    "main/test-00000-of-00001.jsonl": '{"text": "three"}\n', "socratic/all.jsonl": '{"text": "four"}\n',
}  # fmt: skip


def chosen(text: str, names: list[str], card: str = "") -> list[str]:
    return list(select_files(DatasetSource.parse(text), names, card_configs(card)).files)


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("hf:o/n", ["main/train-00000-of-00002.jsonl", "main/train-00001-of-00002.jsonl"]),
        ("hf:o/n#main/test", ["main/test-00000-of-00001.jsonl"]),
        ("hf:o/n@v1#socratic", ["socratic/all.jsonl"]),
    ],
)
def test_configurations_and_splits_of_the_card(text: str, files: list[str]) -> None:
    assert chosen(text, sorted(FILES), CARD) == files
    others = select_files(DatasetSource.parse(text), sorted(FILES), card_configs(CARD)).others
    assert {name for name, _ in others} == {name for name in FILES if "/" in name} - set(files), "others are told"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hf:o/n#mane", r"no configuration 'mane'(.|\n)*main"),
        ("hf:o/n#main/dev", r"no split 'dev'(.|\n)*train, test"),
    ],
)
def test_a_wrong_configuration_or_split_is_named(text: str, said: str) -> None:
    with pytest.raises(EtymonError, match=said):
        chosen(text, sorted(FILES), CARD)


def test_of_several_configurations_one_must_be_named() -> None:
    with pytest.raises(EtymonError, match=r"2 configurations; name one(.|\n)*#main"):
        chosen("hf:o/n", sorted(FILES), CARD.replace("    default: true\n", ""))


@pytest.mark.parametrize(
    ("text", "names", "files"),
    [
        ("hf:o/n", ["train.csv", "test.csv", "LICENSE"], ["train.csv"]),
        ("hf:o/n", ["a.parquet", "b.parquet", "eval/a.parquet"], ["a.parquet", "b.parquet"]),
        ("hf:o/n", ["en/c4-train.00000.json.gz", "de/c4-train.00000.json.gz"],
         ["de/c4-train.00000.json.gz", "en/c4-train.00000.json.gz"]),
        ("hf:o/n#en", ["en/c4-train.00000.json.gz", "de/c4-train.00000.json.gz"], ["en/c4-train.00000.json.gz"]),
        ("hf:o/n#en/validation", ["en/dev.jsonl.zst", "en/train.jsonl.zst"], ["en/dev.jsonl.zst"]),
        ("hf:o/n#x/train_sft", ["x/train_sft-0.parquet", "x/train_gen-0.parquet"], ["x/train_sft-0.parquet"]),
        ("hf:o/n", ["data/trainers.jsonl"], ["data/trainers.jsonl"]),
    ],
)  # fmt: skip
def test_without_a_card_names_tell(text: str, names: list[str], files: list[str]) -> None:
    assert chosen(text, names) == files


def test_a_repository_without_readable_data_says_so() -> None:
    with pytest.raises(EtymonError, match=r"no file of data(.|\n)*refs/convert/parquet"):
        chosen("hf:o/n", ["README.md", "data.zip", "load.py"])


@pytest.mark.parametrize(
    "card", ["", "---\n: [\n---\n", "---\nconfigs: 3\n---\n", "---\nconfigs: [1]\n---\n", "no front\n---\n"]
)
def test_a_broken_card_declares_nothing(card: str) -> None:
    assert card_configs(card) == []


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache as its client leaves it: blobs, and links to them in the snapshot of a commit."""
    monkeypatch.setenv("ETYMON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "datasets--org--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "blobs").mkdir()
    for name, content in FILES.items():
        blob = repository / "blobs" / sha1(name.encode()).hexdigest()
        blob.write_text(content)
        link = repository / "snapshots" / COMMIT / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return repository


def corpus(path: str) -> Corpus:
    return Corpus.model_validate({"sources": [{"name": "hub", "kind": "files", "license": "MIT", "path": path}]})


def test_offline_a_data_set_is_read_from_the_cache(hub_cache: Path, tmp_path: Path) -> None:
    digests = DigestCache(tmp_path / "digests")
    found = corpus_inputs(corpus("hf:org/name"), tmp_path, digests)["hub"]
    assert found.revision == COMMIT
    assert [unit for unit, _ in found.files] == ["main/train-00000-of-00002.jsonl", "main/train-00001-of-00002.jsonl"]
    assert {each.unit: each.reason for each in found.skipped} == {
        "main/test-00000-of-00001.jsonl": "other-split",
        "socratic/all.jsonl": "other-configuration",
    }
    assert corpus_inputs(corpus(f"hf:org/name@{COMMIT}"), tmp_path, digests)["hub"].digest == found.digest


def test_offline_half_a_data_set_is_not_taken_for_a_whole_one(hub_cache: Path, tmp_path: Path) -> None:
    (hub_cache / "snapshots" / COMMIT / "main" / "train-00001-of-00002.jsonl").unlink()
    with pytest.raises(EtymonError, match=r"in its cache in part: of the files of main/train\.jsonl, 1 are missing"):
        corpus_inputs(corpus("hf:org/name"), tmp_path, DigestCache(tmp_path / "digests"))


@pytest.mark.parametrize("path", ["hf:org/other", "hf:org/name@v2"])
def test_offline_what_is_not_in_the_cache_is_told(hub_cache: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(EtymonError, match=r"cannot be reached(.|\n)*HF_HUB_OFFLINE"):
        corpus_inputs(corpus(path), tmp_path, DigestCache(tmp_path / "digests"))


@pytest.mark.parametrize("path", ["hf:name", "hf:org/name#", "hf:org/name#a/b/c", "hf:org/../name@", "hf:"])
def test_other_forms_are_refused_by_the_recipe(path: str) -> None:
    with pytest.raises(ValueError, match="hf:org/name"):
        corpus(path)


class _Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as its client needs: what a revision holds, and files with their commit."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/api/datasets/org/name/revision/main":
            siblings = [{"rfilename": name} for name in FILES]
            return self._send(json.dumps({"id": "org/name", "sha": COMMIT, "siblings": siblings}).encode())
        name = path.removeprefix(f"/datasets/org/name/resolve/{COMMIT}/")
        if name in FILES:
            return self._send(FILES[name].encode())
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


_READ = """
import sys
from etymon.corpus.sources.hub import find_on_hub
from etymon.errors import EtymonError
from etymon.progress import silent
try:
    found = find_on_hub(sys.argv[1], silent)
    print(found.revision, *[path.read_text().strip() for _, path in found.files])
except EtymonError as error:
    print(error)
"""


def test_a_data_set_is_fetched_at_its_commit_and_then_there_offline(tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        environment = os.environ | {
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(tmp_path / "home"), "ETYMON_CACHE": str(tmp_path / "cache"),
        }  # fmt: skip
        environment.pop("HF_HUB_CACHE", None)

        def read(text: str, **settings: str) -> str:
            command = [sys.executable, "-c", _READ, text]
            return subprocess.run(
                command, env=environment | settings, capture_output=True, text=True, check=True, timeout=120
            ).stdout.strip()

        expected = f'{COMMIT} {{"text": "one"}} {{"text": "two"}}'
        assert read("hf:org/name") == expected
        assert "no data set org/other" in read("hf:org/other")
        assert read("hf:org/name", HF_HUB_OFFLINE="1") == expected
        assert "test-00000-of-00001.jsonl of org/name" in read("hf:org/name#main/test", HF_HUB_OFFLINE="1")
        hub.shutdown()
    assert read("hf:org/name") == expected, "a hub that cannot be reached"


def test_the_commit_is_among_the_facts_of_what_was_read(hub_cache: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    source = SourceMeaning(name="hub", kind="files", license="MIT", column="text", columns={})
    given = corpus_inputs(corpus("hf:org/name"), tmp_path, store.digests)
    meaning = DocumentsMeaning(sources=(source,), fewest_units=2)
    artifact, _ = store.obtain(documents_stage, given, meaning, DocumentsExecution(), silent)
    assert artifact.facts["revisions"] == {"hub": COMMIT}
    assert artifact.facts["unread"] == {"other-configuration": 1, "other-split": 1}
