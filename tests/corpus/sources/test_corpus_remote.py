"""Files at URLs are fetched once, whole, and again when they changed."""

import functools
import gzip
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from etymon.corpus.read.formats import Document
from etymon.corpus.sources.find import corpus_inputs
from etymon.corpus.sources.remote import find_remote
from etymon.errors import EtymonError
from etymon.progress import Report, silent
from etymon.recipe import Corpus
from etymon.store import DigestCache


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ETYMON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder on this machine and notes what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        self.server.asked.append(f"{self.command} {self.path}")

    def log_error(self, format: str, *args: Any) -> None:
        pass

    def end_headers(self) -> None:
        if self.path.startswith("/short"):
            self.close_connection = True
        super().end_headers()

    def do_GET(self) -> None:
        if not self.path.startswith("/short"):
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"less")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "served").mkdir()
    with Server(tmp_path / "served") as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving
        serving.shutdown()


def test_a_file_over_http_is_fetched_once_and_again_when_it_changed(server: Server, tmp_path: Path) -> None:
    (server.folder / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "one"}'))
    source = {"name": "web", "kind": "files", "license": "CC-BY-4.0", "path": f"{server.url}/a.jsonl.gz"}
    corpus = Corpus.model_validate({"sources": [source]})
    reports: list[Report] = []

    def read() -> tuple[str, list[object]]:
        found = corpus_inputs(corpus, tmp_path, DigestCache(tmp_path / "digests"), reports.append)["web"]
        return found.digest, [each for file in found.read("text", {}) for each in file]

    first, documents = read()
    assert documents == [Document("a.jsonl.gz#1", "one")]
    assert read() == (first, documents)
    assert [each for each in server.asked if each.startswith("GET")] == ["GET /a.jsonl.gz"]
    assert [report.done for report in reports if report.doing == "downloading a.jsonl.gz"][-1] > 0
    (server.folder / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "another"}'))
    second, documents = read()
    assert second != first
    assert documents == [Document("a.jsonl.gz#1", "another")]


def test_what_cannot_be_had_is_told_without_secrets(server: Server, cache: Path) -> None:
    (server.folder / "a.txt").write_text("text")
    with pytest.raises(EtymonError, match=r"nothing at http://127.0.0.1:\d+/none.txt\.") as missing:
        find_remote(f"{server.url.replace('//', '//me:secret@')}/none.txt?signature=secret", silent)
    assert "secret" not in str(missing.value)
    with pytest.raises(EtymonError, match="cannot be fetched"):
        find_remote(f"{server.url}/short.txt", silent)
    assert not [path for path in cache.rglob("*") if path.is_file()], "nothing is left of half a file"
    find_remote(f"{server.url}/a.txt", silent)
    server.shutdown()
    server.server_close()
    with pytest.raises(EtymonError, match=r"cannot be fetched(.|\n)*give the path of what came on .*a\.txt"):
        find_remote(f"{server.url}/a.txt", silent)


def test_a_name_from_a_server_is_no_path(server: Server, cache: Path) -> None:
    (server.folder / "..%2F..%2Fx y.txt").write_text("text")
    ((name, path),) = find_remote(f"{server.url}/..%252F..%252Fx%20y.txt", silent).files
    assert cache in path.parents
    assert path.name == "content.txt"
    assert name == "..%2F..%2Fx y.txt"


def test_folders_and_patterns_of_other_storage() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/corpus/a.jsonl": b'{"text": "a"}', "/corpus/sub/b.txt": b"b", "/corpus/.hidden.txt": b"c"})
    try:
        assert [name for name, _ in find_remote("memory://corpus", silent).files] == ["a.jsonl", "sub/b.txt"]
        ((name, path),) = find_remote("memory://corpus/**/*.txt", silent).files
        assert (name, path.read_bytes()) == ("sub/b.txt", b"b")
        assert [name for name, _ in find_remote("memory://corpus/a.jsonl", silent).files] == ["a.jsonl"]
        with pytest.raises(EtymonError, match="no file at memory://corpus/"):
            find_remote("memory://corpus/*.csv", silent)
    finally:
        memory.rm("/corpus", recursive=True)


def test_file_urls_are_read_in_place(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert find_remote(f"file://{tmp_path}/*.txt", silent).files == [("a.txt", tmp_path / "a.txt")]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nothing://a/b.txt", "no known kind"),
        ("zip://a.txt::https://example.org/a.zip", "chain of URLs"),
        ("oss://bucket/a.txt", "needs|without another package"),
    ],
)
def test_urls_of_no_use(url: str, said: str) -> None:
    with pytest.raises(EtymonError, match=said):
        find_remote(url, silent)
