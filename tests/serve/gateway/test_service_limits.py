"""Buckets and queues: what is let through is what was agreed, and places are given back whatever happens."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.serve.gateway.keys import Key, Role
from etymon.serve.gateway.limits import Bucket, Meter, Queue
from etymon.serve.gateway.pipe import Pipe
from etymon.serve.gateway.problems import Problem
from etymon.serve.gateway.settings import Limits
from etymon.serve.gateway.tokens import Tokens


@given(
    per_minute=st.integers(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50)), max_size=50),
)
def test_a_bucket_lets_through_a_minutes_worth_and_what_flowed_in(per_minute: int, steps: list[tuple[float, int]]) -> None:
    now, taken, bucket = 0.0, 0, Bucket(per_minute, 0.0)
    for pause, amount in steps:
        now += pause
        if not bucket.wait(now, amount):
            bucket.take(now, amount)
            taken += amount
        else:
            assert not bucket.wait(now + bucket.wait(now, amount) + 1e-6, amount) or amount > per_minute
    assert taken <= per_minute * (1 + now / 60) + 1e-6


def test_tokens_beyond_the_limit_are_paid_for_before_the_next_request() -> None:
    meter, tokens = Meter(Limits(tokens_per_minute=100)), Tokens()
    meter.begin(None)
    meter.reserve(None, tokens)
    tokens.count({"prompt_tokens": 50, "completion_tokens": 200})
    meter.settle(None, tokens)
    with pytest.raises(Problem) as refused:
        meter.begin(None)
    assert refused.value.status == 429
    assert 85 < int(refused.value.headers["Retry-After"]) < 95
    assert f"again in {refused.value.headers['Retry-After']} s" in refused.value.message


def test_tokens_are_reserved_before_an_answer_and_settled_after_it() -> None:
    meter, first, second = Meter(Limits(tokens_per_minute=100)), Tokens(), Tokens()
    first.expect(40, 400, 1, 4096)
    meter.reserve(None, first)
    with pytest.raises(Problem):  # while the first is being answered
        meter.reserve(None, second)
    first.begin()
    first.count({"prompt_tokens": 10, "completion_tokens": 20})
    meter.settle(None, first)
    meter.reserve(None, second)
    second.expect(40, None, 1, 256)
    second.begin()
    second.count({})
    second.uncounted()  # it costs what was expected of it
    assert (second.prompt, second.completion) == (10, 256)
    third = Tokens()
    third.expect(40, None, 1, 256)
    third.begin()
    third.unread()  # it was refused after it had been looked at
    assert (third.prompt, third.total) == (0, 10)


@pytest.mark.parametrize("told", [None, "many", -5, 1 << 80, 2.5])
def test_whatever_an_engine_counts_is_a_number_that_can_be_kept(told: object) -> None:
    tokens = Tokens()
    tokens.count({"prompt_tokens": told})
    assert 0 <= tokens.total < 1 << 62


def test_one_key_leaves_waiting_places_to_others() -> None:
    greedy, other = (Key(id=id, name=id, role=Role.user, sha256="", created=datetime.now(UTC)) for id in ("a", "b"))

    async def scenario() -> None:
        queue = Queue(running=1, waiting=4)

        async def ask(key: Key) -> None:
            async with queue.place(key):
                await asyncio.sleep(0.01)

        asked = [asyncio.create_task(ask(greedy)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="of this key"):
            await ask(greedy)
        await asyncio.gather(*asked, ask(other))

    asyncio.run(scenario())


def test_a_queue_runs_as_many_as_agreed_in_order_and_refuses_the_rest() -> None:
    async def scenario() -> list[int]:
        queue, order, most = Queue(running=2, waiting=3), [], 0

        async def ask(number: int) -> None:
            nonlocal most
            async with queue.place():
                most = max(most, queue.running)
                order.append(number)
                await asyncio.sleep(0.01)

        asked = [asyncio.create_task(ask(number)) for number in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await ask(9)
        assert (refused.value.status, refused.value.code) == (429, "queue_full")
        asked[2].cancel()  # a client that left while it waited
        await asyncio.gather(*asked, return_exceptions=True)
        assert most == 2
        assert (queue.running, queue.waiting) == (0, 0)
        return order

    assert asyncio.run(scenario()) == [0, 1, 3, 4]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20))
def test_a_pipe_gives_all_bytes_in_order_then_the_problem(pieces: list[bytes]) -> None:
    async def scenario() -> bytes:
        pipe = Pipe(most_bytes=50)

        async def write() -> None:
            for piece in pieces:
                await pipe.put(piece)
            pipe.close(ValueError("the end"))

        writer, taken = asyncio.create_task(write()), b""
        while len(taken) < sum(map(len, pieces)):
            taken += await pipe.take()
        with pytest.raises(ValueError, match="the end"):
            await pipe.take()
        await writer
        return taken

    assert asyncio.run(scenario()) == b"".join(pieces)
