"""Buckets and queues: what is let through is what was agreed, and places are given back whatever happens."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.serve.gateway.limits import Bucket, Meter, Queue
from etymon.serve.gateway.pipe import Pipe
from etymon.serve.gateway.problems import Problem
from etymon.serve.gateway.settings import Limits


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
    meter = Meter(Limits(tokens_per_minute=100))
    meter.begin(None)
    meter.charge(None, 250)
    with pytest.raises(Problem) as refused:
        meter.begin(None)
    assert refused.value.status == 429
    assert 85 < int(refused.value.headers["Retry-After"]) < 95


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
