"""A model over the rows of a table: a real engine with a tiny model, and a server that misbehaves as it is told to."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from tiny_gguf import write_tiny_gguf

from etymon.commands.mapping.job import Mapped, TableJob, map_rows
from etymon.commands.service import opener
from etymon.errors import EtymonError
from etymon.progress import silent
from etymon.serve.gateway.settings import ModelEntry
from etymon.store import Store

SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": ["good", "bad"]}, "sure": {"type": "boolean"}, "grades": {"type": "array", "minItems": 2,
                   "maxItems": 2, "items": {"enum": [1, 2], "type": "integer"}}},
    "required": ["label", "sure", "grades"],
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    return path


@pytest.fixture
def run(tmp_path: Path, schema: Path) -> Callable[..., tuple[Mapped, list[str]]]:
    """A function that maps; gives what became of it, and what was said."""

    def map_table(input: Path, prompt: str, entry: ModelEntry, **more: Any) -> tuple[Mapped, list[str]]:
        said: list[str] = []
        job = TableJob(input, prompt, more.pop("schema", schema), entry, **more)
        return map_rows(job, opener(Store(tmp_path / "workspace")), silent, said.append), said

    return map_table


def own(model: Path) -> ModelEntry:
    return ModelEntry(model=str(model), context=256, parallel=2, threads=1)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_row_has_an_answer_of_the_schema_in_its_place(
    run: Callable[..., tuple[Mapped, list[str]]], model: Path, tmp_path: Path
) -> None:
    table = tmp_path / "reviews.csv"
    table.write_text('id,text\n1,"Fine, thanks"\n2,Nö\n3,\n')
    done, said = run(table, "Is this good? {text} {{yes}}", own(model), output=tmp_path / "out.jsonl")
    assert (done.rows, done.before, done.reasons, said) == (3, 0, {}, [])
    rows = lines(tmp_path / "out.jsonl")
    assert [(row["id"], row["text"]) for row in rows] == [("1", "Fine, thanks"), ("2", "Nö"), ("3", "")]
    assert all(row["label"] in ("good", "bad") and isinstance(row["sure"], bool) and len(row["grades"]) == 2 for row in rows)
    assert not done.failed.exists()
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.jsonl", "out.jsonl.journal"]

    again, _ = run(table, "Is this good? {text} {{yes}}", own(model), output=tmp_path / "out.jsonl")
    assert again.before == 3
    assert lines(tmp_path / "out.jsonl") == rows
    other, said = run(table, "Is it bad? {text}", own(model), output=tmp_path / "out.jsonl")
    assert other.before == 0
    assert said == ["Another prompt than before: 3 answers are not used, all rows are asked anew."]


def test_a_job_that_the_engine_refuses_costs_no_answer(
    run: Callable[..., tuple[Mapped, list[str]]], unruly: "Unruly", tmp_path: Path
) -> None:
    table = tmp_path / "in.jsonl"
    table.write_text('{"text": "a"}\n{"text": "b"}\n')
    run(table, "{text}", unruly.entry)
    unruly.script["."] = [(400, "no such schema here")]
    table.write_text('{"text": "a"}\n{"text": "b"}\n')
    with pytest.raises(EtymonError, match="no such schema here"):
        run(table, "Other: {text}", unruly.entry)
    unruly.script.clear()
    unruly.asked.clear()
    again, said = run(table, "{text}", unruly.entry)
    assert (again.before, said, unruly.asked) == (2, [], [])


def test_the_same_rows_from_and_to_every_format(
    run: Callable[..., tuple[Mapped, list[str]]], model: Path, tmp_path: Path
) -> None:
    columns = {"n": pyarrow.array([1, None, 3], pyarrow.int16()), "words": [["a"], [], ["b", "c"]]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "in.parquet")
    done, _ = run(tmp_path / "in.parquet", "Rate {n} and {words}.", own(model))
    found = pyarrow.parquet.read_table(done.output)
    assert done.output == tmp_path / "in.mapped.parquet"
    assert found.schema.field("n").type == pyarrow.int16(), "columns pass as they are"
    assert [str(found.schema.field(name).type) for name in SCHEMA["properties"]] == [  # type: ignore[attr-defined]
        "string", "bool", "list<element: int64>"
    ]  # fmt: skip
    assert found.select(["n", "words"]).to_pydict() == pyarrow.table(columns).to_pydict()

    as_csv, _ = run(tmp_path / "in.parquet", "Rate {n} and {words}.", own(model), output=tmp_path / "out.csv")
    header, first, *_ = as_csv.output.read_text().splitlines()
    assert header == "n,words,label,sure,grades"
    assert first.startswith('1,"[""a""]",')

    (tmp_path / "in.jsonl").write_text('{"n": 1}\n{"n": 2.5, "more": {"x": 1}}\n')
    typed, _ = run(tmp_path / "in.jsonl", "Rate {n}.", own(model), output=tmp_path / "typed.parquet")
    assert pyarrow.parquet.read_table(typed.output).select(["n", "more"]).to_pylist() == [
        {"n": 1.0, "more": None}, {"n": 2.5, "more": {"x": 1}}
    ]  # fmt: skip


def test_rows_that_fail_are_listed_and_asked_again(
    run: Callable[..., tuple[Mapped, list[str]]], model: Path, tmp_path: Path
) -> None:
    table = tmp_path / "in.jsonl"
    table.write_text(
        '{"text": "a"}\n{"text": \n[1]\n{"other": 1}\n'
        + json.dumps({"text": "long " * 300})
        + '\n{"text": "\\ud800"}\n{"text": "b"}\n'
    )
    done, _ = run(table, "{text}", own(model))
    assert [row["text"] for row in lines(done.output)] == ["a", "b"]
    failed = lines(done.failed)
    assert [(each["row"], each["reason"]) for each in failed] == [
        (2, "bad-json"), (3, "bad-row"), (4, "missing-column"), (5, "too-long"), (6, "bad-row")
    ]  # fmt: skip
    assert done.reasons == {"bad-row": 2, "bad-json": 1, "missing-column": 1, "too-long": 1}
    table.write_text(table.read_text().replace("long " * 300, "short"))
    again, _ = run(table, "{text}", own(model))
    assert [row["text"] for row in lines(done.output)] == ["a", "short", "b"]
    assert again.before == 2


def test_an_answer_that_is_not_complete_is_none(
    run: Callable[..., tuple[Mapped, list[str]]], model: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("text\na\n")
    done, _ = run(tmp_path / "in.csv", "{text}", own(model), tokens=3)
    (failed,) = lines(done.failed)
    assert failed["reason"] == "cut-off"
    assert done.output.read_text() == "text,label,sure,grades\n"


def test_after_a_kill_the_same_command_goes_on(model: Path, schema: Path, tmp_path: Path) -> None:
    table = tmp_path / "in.csv"
    table.write_text("text\n" + "".join(f"row {number}\n" for number in range(120)))
    command = [
        *(sys.executable, "-m", "etymon", "map", str(table), "--prompt", "Rate {text}", "--schema", str(schema)),
        *("--model", str(model), "--context", "256", "--workspace", str(tmp_path / "workspace")),
    ]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal, written = tmp_path / "in.mapped.csv.journal", tmp_path / "in.mapped.csv.journal-wal"
    end = time.monotonic() + 60
    while not (written.exists() and written.stat().st_size > 60_000) and time.monotonic() < end and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGSTOP)
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 2, second
    assert "Another run is writing" in second.stderr
    os.kill(running.pid, signal.SIGKILL)
    said = running.communicate()
    assert running.returncode == -signal.SIGKILL, said
    assert not (tmp_path / "in.mapped.csv").exists()
    with closing(sqlite3.connect(journal)) as read:
        (before,) = read.execute("SELECT count(*) FROM answer").fetchone()
    assert 0 < before < 120

    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "400"})
    assert done.returncode == 0, done
    assert f"120 of 120 rows answered, {before} of them before" in done.stdout
    found = (tmp_path / "in.mapped.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in found[1:]] == [f"row {number}" for number in range(120)]
    assert not list(tmp_path.glob("*.partial"))


class Unruly(ThreadingHTTPServer):
    """An OpenAI-compatible server that gives what it is told: by the question, the answers to come, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: dict[str, list[tuple[int, str]]] = {}
        self.asked: list[dict[str, Any]] = []

    @property
    def entry(self) -> ModelEntry:
        return ModelEntry(model=None, engine=f"http://127.0.0.1:{self.server_address[1]}", parallel=2)


class _Handler(BaseHTTPRequestHandler):
    server: Unruly

    def do_GET(self) -> None:
        self._send(200, json.dumps({"data": [{"id": "m"}]}))

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(asked)
        script = self.server.script.get(asked["messages"][0]["content"], [(200, GOOD)])
        status, said = script.pop(0) if len(script) > 1 else script[0]
        if status != 200:
            self._send(status, json.dumps({"error": {"message": said}}))
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        self._send(200, json.dumps({"model": "m", "choices": [choice], "usage": {}}))

    def _send(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None: ...


GOOD = '{"label": "good", "sure": true, "grades": [1, 2]}'


@pytest.fixture
def unruly() -> Iterator[Unruly]:
    server = Unruly()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_while_no_answer_comes_it_says_so_and_what_to_do_when_it_is_ended(
    unruly: Unruly, schema: Path, tmp_path: Path
) -> None:
    table = tmp_path / "in.csv"
    table.write_text("text\na\nb\n")
    unruly.script = {question: [(503, "busy")] for question in (".", "a", "b")}
    running = subprocess.Popen(
        [*(sys.executable, "-m", "etymon", "map", str(table), "--prompt", "{text}", "--schema", str(schema)),
         *("--service", str(unruly.entry.engine), "--workspace", str(tmp_path / "workspace"))],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stderr
    assert "asking · 0 of 2 rows" in running.stderr.readline()
    running.terminate()
    _, said = running.communicate(timeout=30)
    assert said.strip() == "Stopped. Run the same command again to go on from here."
    assert running.returncode == 130


def test_what_a_service_says_is_checked_here_too(
    run: Callable[..., tuple[Mapped, list[str]]], unruly: Unruly, tmp_path: Path
) -> None:
    unruly.script = {
        "busy": [(429, "slow down"), (503, "loading"), (200, GOOD)],
        "wrong once": [(200, '{"label": "neither"}'), (200, GOOD)],
        "wrong": [(200, '{"label": "good", "sure": "yes", "grades": [1, 2]}')],
        "prose": [(200, "It is good.")],
        "more": [(200, GOOD[:-1] + ', "extra": 1}')],
        "endless": [(200, GOOD.replace("[1, 2]", "[1, NaN]"))],
        "refused": [(400, "no such thing")],
    }
    table = tmp_path / "in.csv"
    table.write_text("".join(f"{each}\n" for each in ("text", *unruly.script)))
    done, _ = run(table, "{text}", unruly.entry)
    assert [row.split(",")[0] for row in done.output.read_text().splitlines()] == ["text", "busy", "wrong once"]
    failed = lines(done.failed)
    assert [(each["row"], each["reason"]) for each in failed] == [
        (3, "schema"), (4, "no-json"), (5, "schema"), (6, "no-json"), (7, "refused")
    ]  # fmt: skip
    assert "the answer.sure: 'yes' is not of type 'boolean'" in failed[0]["detail"]
    wrong = [each for each in unruly.asked if each["messages"][0]["content"] == "wrong"]
    assert [(each["temperature"], each["seed"]) for each in wrong] == [(0.0, 0), (0.7, 1), (0.7, 2)]
    assert wrong[0]["response_format"]["json_schema"]["schema"] == SCHEMA | {"additionalProperties": False}


def test_an_engine_that_refuses_the_schema_is_told_before_any_work(
    run: Callable[..., tuple[Mapped, list[str]]], unruly: Unruly, tmp_path: Path
) -> None:
    unruly.script = {".": [(400, "this schema is too much")]}
    (tmp_path / "in.csv").write_text("text\na\n")
    with pytest.raises(EtymonError, match="too much"):
        run(tmp_path / "in.csv", "{text}", unruly.entry)
    assert len(unruly.asked) == 1


@pytest.mark.parametrize(
    ("prompt", "schema_text", "table", "problem"),
    [
        ("{txt}", None, "text\na\n", "names a column 'txt'; the input has text"),
        ("{text.upper}", None, "text\na\n", "names a column 'text.upper'"),
        ("{text", None, "text\na\n", "A brace of the prompt has no other"),
        ("Hello", None, "text\na\n", "names no column"),
        ("@/no/such/file", None, "text\na\n", "cannot be read"),
        ("{text}", "{", "text\na\n", "schema .* cannot be read"),
        ("{text}", '{"type": "string"}', "text\na\n", "no schema of an object"),
        ("{text}", '{"type": "object", "properties": {"a": {"type": "strnig"}}}', "text\na\n", "properties.a.type"),
        ("{text}", '{"type": "object", "properties": {"a": {"$ref": "http://x/y"}}}', "text\na\n", "outside of itself"),
        ("{text}", '{"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}', "text\na\n", "does not have"),
        ("{text}", '{"type": "object", "properties": {"a": {}}, "additionalProperties": true}', "text\na\n", "does not name"),
        (
            "{text}",
            '{"type": "object", "properties": {"text": {"type": "string"}}}',
            "text\na\n",
            "has a column 'text' already",
        ),
        ("{text}", None, "", "cannot be read"),
        ("{text}", None, "text\n", "cannot be read"),
        ("{text}", None, "text,text\na,b\n", "2 columns named 'text'"),
    ],
)
def test_bad_input_is_refused_before_a_model_is_opened(
    run: Callable[..., tuple[Mapped, list[str]]],
    schema: Path,
    tmp_path: Path,
    prompt: str,
    schema_text: str | None,
    table: str,
    problem: str,
) -> None:
    (tmp_path / "in.csv").write_text(table)
    if schema_text is not None:
        schema.write_text(schema_text)
    with pytest.raises(EtymonError, match=problem):
        run(tmp_path / "in.csv", prompt, ModelEntry(model="no such model"))
    assert not list(tmp_path.glob("in.mapped*"))


def test_nothing_of_somebody_else_is_overwritten(
    run: Callable[..., tuple[Mapped, list[str]]], unruly: Unruly, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("text\na\n")
    (tmp_path / "out.csv").write_text("mine")
    for output in (tmp_path / "out.csv", tmp_path / "in.csv"):
        with pytest.raises(EtymonError, match="was not written by this command"):
            run(tmp_path / "in.csv", "{text}", unruly.entry, output=output)
    with pytest.raises(EtymonError, match="of no type that is written here"):
        run(tmp_path / "in.csv", "{text}", unruly.entry, output=tmp_path / "out.xlsx")
    assert (tmp_path / "out.csv").read_text() == "mine"
