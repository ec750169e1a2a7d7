"""Records of requests: written, counted, removed and kept through a database that goes away; SQLite and PostgreSQL."""

import json
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from etymon.cli import common
from etymon.cli.app import app
from etymon.errors import EtymonError
from etymon.serve.audit import writer as writing
from etymon.serve.audit.records import Records, Total, Wanted, moment, open_records, stamp
from etymon.serve.audit.texts import Texts
from etymon.serve.audit.writer import Writer
from etymon.serve.gateway.keys import KeyFile
from postgres import PostgreSQL

NOW = datetime.now(UTC)


def record(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"req_{number:04}", "time": stamp(NOW - timedelta(hours=number)), "key": None, "endpoint": "chat/completions",
        "model": "tiny", "digest": "ab", "stream": False, "status": 200, "code": None, "outcome": "answered", "rule": None,
        "side": None, "unlabelled": False, "prompt_tokens": 3, "completion_tokens": 4, "first_token_ms": None, "ms": 1.5,
        "question": None, "answer": None, **more,
    }  # fmt: skip


class Told:
    """What a writer said."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.written = self.lost = 0

    def log(self, **event: Any) -> None:
        self.events.append(event)

    def count(self, *, written: int = 0, lost: int = 0) -> None:
        self.written += written
        self.lost += lost


def wait_for(what: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def check_records(url: str) -> None:
    """What every database has to do."""
    records = Records(url)
    rows = [
        record(1, key="k1"), record(2, key="k2", outcome="refused", rule="weapons", side="input"),
        record(30, key="k1", model="other", outcome="failed", question="¿\N{SNOWMAN}?", answer="n\n"), record(24 * 400),
    ]  # fmt: skip
    records.write(rows[:3])
    records.write(rows)  # as after a commit whose answer was lost
    assert list(records.read(Wanted())) == rows[::-1]
    assert [row["id"] for row in records.read(Wanted(), newest=2)] == ["req_0002", "req_0001"]
    assert [row["id"] for row in records.read(Wanted(since=moment("7d", NOW), keys=("k1", "k3")))] == ["req_0030", "req_0001"]
    assert [row["id"] for row in records.read(Wanted(id="req_0030"))] == ["req_0030"]
    assert [row["id"] for row in records.read(Wanted(rule="weapons"))] == ["req_0002"]
    assert records.count(Wanted(model="tiny", outcome="answered")) == 2
    assert records.totals(Wanted(since=moment("7d", NOW)), "model") == [
        Total("other", 1, 0, 0, 1, 0, 3, 4), Total("tiny", 2, 1, 1, 0, 0, 6, 8)
    ]  # fmt: skip
    assert {total.of for total in records.totals(Wanted(), "key")} == {None, "k1", "k2"}
    assert sum(total.requests for total in records.totals(Wanted(), "day")) == 4
    assert records.prune(100) == 1
    assert records.count(Wanted()) == 3
    records.close()


def test_records_in_sqlite(tmp_path: Path) -> None:
    check_records(f"sqlite:///{tmp_path}/audit.sqlite")
    assert stat.S_IMODE((tmp_path / "audit.sqlite").stat().st_mode) == 0o600


def test_records_in_postgresql(postgresql: str) -> None:
    check_records(postgresql)
    engine = create_engine(postgresql)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE request"))
    engine.dispose()


def test_records_are_shown_with_their_time_and_found_by_whose_key_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common.console, "_width", 80)
    key, _ = KeyFile(tmp_path / "serve" / "keys.json").new("anna")
    records = open_records(tmp_path, None, new=True)
    records.write([record(1, key=key.id), record(2, key="revoked")])
    records.close()

    def shown(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["audit", "--workspace", str(tmp_path), *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    came = (NOW - timedelta(hours=1)).strftime("%m-%d %H:%M:%S")
    assert came in shown("--key", "anna")
    assert "1 request." in shown("--key", key.id)
    assert "1 request." in shown("--key", "revoked")
    assert json.loads(shown("--id", "req_0002", "--json"))["key"] == "revoked"
    assert "rule" not in shown()
    for option, value, said in (
        ("--key", "bert", "no key 'bert'"),
        ("--model", "x", "no record of the model 'x'"),
        ("--id", "x", "no record of a request 'x'"),
    ):
        with pytest.raises(EtymonError, match=said):
            CliRunner().invoke(app, ["audit", "--workspace", str(tmp_path), option, value], catch_exceptions=False)


def test_what_is_removed_leaves_no_text_behind(tmp_path: Path) -> None:
    records = open_records(tmp_path, None, new=True)
    records.write([record(number, question="my secret " * 20) for number in range(24 * 10, 24 * 10 + 50)])
    assert records.prune(5) == 50
    records.close()
    assert all(b"my secret" not in path.read_bytes() for path in (tmp_path / "serve").iterdir())


def test_a_database_that_goes_away_and_comes_back(postgresql_server: PostgreSQL) -> None:
    told = Told()
    writer = Writer(Records(postgresql_server.url), lambda: 180, told.log, told.count)
    writer.put(record(1))
    wait_for(lambda: told.written == 1)
    postgresql_server.stop()
    began = time.monotonic()
    for number in range(2, 200):
        writer.put(record(number))
    assert time.monotonic() - began < 1, "nobody waits for it"
    wait_for(lambda: told.events)
    assert told.events[0]["state"] == "unreachable"
    assert "req_" not in str(told.events), "no values of records in the log"
    postgresql_server.start()
    wait_for(lambda: told.written == 199)
    assert told.events[-1] | {"seconds": 0} == {"state": "written again", "seconds": 0, "lost": 0}
    writer.close()
    records = Records(postgresql_server.url)
    assert records.count(Wanted()) == 199
    records.close()


def test_what_does_not_fit_into_the_queue_is_counted(tmp_path: Path) -> None:
    told = Told()
    records = open_records(tmp_path, None, new=True)
    path = tmp_path / "serve" / "audit.sqlite"
    writer = Writer(records, lambda: 180, told.log, told.count, most_waiting=10)
    blocker = create_engine(f"sqlite:///{path}")
    with blocker.connect() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        for number in range(600):
            writer.put(record(number))
        assert told.lost > 0
        connection.rollback()
    wait_for(lambda: told.written + told.lost == 600)
    writer.put(record(700))
    writer.close()
    assert any(event["state"] == "written again" and event["lost"] for event in told.events)
    left = open_records(tmp_path, None, new=False)
    assert left.count(Wanted()) == told.written == 601 - told.lost
    left.close()
    blocker.dispose()


def test_a_record_that_no_database_takes_is_lost_alone(tmp_path: Path) -> None:
    told = Told()
    writer = Writer(open_records(tmp_path, None, new=True), lambda: 180, told.log, told.count)
    for number in range(5):
        writer.put(record(number, completion_tokens=1 << 80 if number == 2 else 1))
    wait_for(lambda: told.written + told.lost == 5)
    writer.put(record(9))
    writer.close()
    assert (told.written, told.lost) == (5, 1)
    assert told.events[0] == {"state": "not written", "lost": 1, "reason": "OverflowError"}


def test_texts_that_wait_are_bounded_in_bytes(tmp_path: Path) -> None:
    told = Told()
    writer = Writer(open_records(tmp_path, None, new=True), lambda: 180, told.log, told.count, most_bytes=1_000)
    writer.put(record(1), Texts(b" " * 2_000))
    assert told.lost == 1
    writer.put(record(2), Texts(b" " * 900))
    wait_for(lambda: told.written == 1)
    writer.put(record(3), Texts(b" " * 900))
    writer.close()
    assert (told.written, told.lost) == (2, 1)


def test_records_that_cannot_be_written_are_given_up_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "RETRY_SECONDS", 0.3)
    told = Told()
    url = f"sqlite:///{tmp_path}/audit.sqlite"
    writer = Writer(Records(url), lambda: 180, told.log, told.count)
    writer.put(record(0))
    wait_for(lambda: told.written == 1)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE request RENAME TO elsewhere"))
    writer.put(record(1))
    wait_for(lambda: told.lost == 1)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO request"))
    writer.put(record(2))
    writer.close()
    assert (told.written, told.lost) == (2, 1)
    assert [event["state"] for event in told.events] == ["unreachable", "given up", "written again"]
    engine.dispose()


def test_what_waits_is_written_at_the_end_and_what_is_old_removed_at_the_start(tmp_path: Path) -> None:
    told = Told()
    records = open_records(tmp_path, None, new=True)
    records.write([record(24 * 40), record(1)])
    writer = Writer(records, lambda: 30, told.log, told.count)
    for number in range(2, 1500):
        writer.put(record(number % 700, id=f"new_{number}"))
    writer.close()
    assert told.events == [{"state": "pruned", "removed": 1}]
    left = open_records(tmp_path, None, new=False)
    assert left.count(Wanted()) == 1 + 1498
    left.close()


def test_a_database_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(EtymonError, match="Nothing was recorded"):
        open_records(tmp_path, None, new=False)
    for url in (
        "nonsense",
        "postgresql+psycopg://someone:secret@127.0.0.1:1/nothing",
        f"sqlite:///{tmp_path}/no/such.sqlite",
    ):
        with pytest.raises(EtymonError, match=r"audit database .* cannot be") as refused:
            open_records(tmp_path, url, new=True)
        assert "secret" not in str(refused.value)
    (tmp_path / "damaged.sqlite").write_bytes(b"\xa5" * 8192)
    with pytest.raises(EtymonError, match="file is not a database"):
        open_records(tmp_path, f"sqlite:///{tmp_path}/damaged.sqlite", new=True)


@pytest.mark.parametrize("wrong", ["yesterday", "7", "d", "2026-13-01", "-3d", "99999999d"])
def test_no_time(wrong: str) -> None:
    with pytest.raises(EtymonError, match="is no time"):
        moment(wrong, NOW)
    assert moment("90m", NOW) == NOW - timedelta(minutes=90)
    assert stamp(moment("2026-11-29T12:00:00+02:00", NOW)) == "2026-11-29T10:00:00.000Z"


def test_texts_of_a_stream_and_of_an_answer_in_one_piece() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Grüße\0"}]}
    texts = Texts(json.dumps(body).encode())
    events = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hal"}}]},
        {"choices": [{"index": 1, "delta": {"content": "second"}}]},
        {
            "choices": [
                {"index": 0, "delta": {"content": "lo", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}}
            ]
        },
        {"choices": [], "usage": {}},
    ]
    stream = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events) + b"data: [DONE]\n\n"
    for begin in range(0, len(stream), 7):
        texts.add(stream[begin : begin + 7])
    assert texts.question == '[{"role": "user", "content": "Grüße\\u0000"}]'
    assert texts.answer == "Hallof{}\nsecond"
    whole = Texts(b'{"prompt": "a\\u0000\\ud800"}')
    whole.add(b'{"choices": [{"text": "b"}]}')
    assert (whole.question, whole.answer) == ("a\N{REPLACEMENT CHARACTER}?", "b")
    vectors = Texts(b'{"input": ["x"]}')
    vectors.add(b'{"data": []}')
    assert (vectors.question, vectors.answer) == ('["x"]', None)


@given(st.binary(max_size=200), st.lists(st.binary(max_size=50), max_size=5))
def test_any_bytes_are_text_or_none(asked: bytes, said: list[bytes]) -> None:
    texts = Texts(asked)
    for piece in said:
        texts.add(piece)
    assert texts.question is None or "\0" not in texts.question
    assert texts.answer is None or "\0" not in texts.answer
