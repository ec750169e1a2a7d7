"""Answers through the gateway beside the same engine's own address, with the same client: what does the gateway cost?

Both are asked in turn, round after round: 1, 8 and 32 clients, each streaming one answer after the other. Every answer is
greedy and of a fixed number of tokens, and both sides must give equally many. The figures are medians over rounds.

`throughput_share` is the smallest of the shares at 1, 8 and 32 clients. `added_first_token_ms` is the difference of
medians with one client and a short prompt, which the engine has in its cache. The engine's own rate varies from round
to round by more than the gateway costs; the table shows the spread.

`gateway_microseconds_per_token` is the processor time of the gateway at 32 clients, which other programs do not change much.

The engine computes on all cores, unless `--threads N` leaves some: where none is left, what the gateway takes of a core is
taken from the engine, whose other threads wait for that one. `engine_threads` and `cores` tell.

All of it twice: without a policy, and (`policy_…`) with a guard that refuses a few terms on both sides and with labels.

With `--slow N` (500 by default; 0 leaves it out) so many clients then read an answer a few bytes at a time, for a minute, and
a tenth as many beside them ask and never read. `slow_lost` counts answers of the former that were not whole, in two rounds;
`stalled_held` connections of the latter that the service still had after 45 seconds.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from common import finish, options
from etymon.foundation.sources import open_gguf
from etymon.serve.engine.llama import LlamaEngine, LlamaSettings

MODEL = "smollm2-135m-instruct-q4_1"
PARALLEL, CONTEXT = 8, 1024
POLICY = """
guard:
  rules:
    - {id: weapons, terms: [pipe bomb, nerve agent, detonator wiring], sides: [input, output]}
labels: {producer: Benchmark, visible: end, text: AI-generated}
"""
STALLED_ASKS = 400
"""Answers of 20 KB, more than the buffers of both ends hold."""
STALLED_SECONDS = 45.0
"""After which the service has cut a client off that takes nothing."""
UNENDING = {"0": -100, "1": -100, "2": -100}
"""Of both models, the tokens that would end an answer early."""


@dataclass
class Round:
    """What one side did in one round."""

    tokens: int = 0
    seconds: float = 0.0
    first: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Side:
    """An address and how to ask there."""

    address: str
    headers: dict[str, str]


async def answer(session: aiohttp.ClientSession, side: Side, tokens: int, number: int, into: Round) -> None:
    asked = {
        "model": MODEL, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": tokens, "temperature": 0,
        "logit_bias": UNENDING, "messages": [{"role": "user", "content": f"Count from {number} upwards."}],
    }  # fmt: skip
    began, first, counted, end = time.perf_counter(), None, 0, b""
    async with session.post(f"{side.address}/chat/completions", json=asked, headers=side.headers) as response:
        assert response.status == 200, await response.text()
        async for line in response.content:
            if line.startswith(b"data: "):
                first = first or time.perf_counter() - began
                end = line
                if b'"usage":{' in line:
                    counted = json.loads(line[6:])["usage"]["completion_tokens"]
    assert end.startswith(b"data: [DONE]")
    assert first is not None
    into.tokens += counted
    into.first.append(first)


async def measure(side: Side, clients: int, answers: int, tokens: int) -> Round:
    """``clients`` at once, each asking ``answers`` times."""
    done = Round()

    async def ask_on(session: aiohttp.ClientSession, client: int) -> None:
        for number in range(answers):
            await answer(session, side, tokens, 100 * client + number, done)

    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        began = time.perf_counter()
        await asyncio.gather(*(ask_on(session, client) for client in range(clients)))
        done.seconds = time.perf_counter() - began
    return done


async def in_turn(own: Side, through: Side, clients: int, answers: int, tokens: int, turned: bool) -> tuple[Round, Round]:
    """Both sides, one after the other; ``turned``: the gateway first."""
    if turned:
        second = await measure(through, clients, answers, tokens)
        return await measure(own, clients, answers, tokens), second
    return await measure(own, clients, answers, tokens), await measure(through, clients, answers, tokens)


@contextmanager
def gateway(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``etymon serve`` in a process of its own, and its address."""
    with tempfile.TemporaryDirectory() as workspace:
        command = [sys.executable, "-m", "etymon", "serve", *arguments, "--port", "0", "--workspace", workspace]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout
            for line in process.stdout:
                if found := re.search(r"http://\S+", line):
                    break
            else:
                raise SystemExit("the gateway did not start")
            yield found.group(), process
        finally:
            process.terminate()
            process.wait(60)


async def compare(figures: dict[str, Any], rows: list[tuple[str, ...]], *, quick: bool, threads: int | None) -> None:
    """One engine, asked at its own address and through a gateway in front of it, without a policy and with one."""
    path = open_gguf(MODEL)
    assert path
    engine = LlamaEngine(LlamaSettings(MODEL, path, CONTEXT, PARALLEL, threads), lambda name, what: None)
    await engine.start()
    os.environ["ETYMON_ENGINE_KEY"] = engine.headers["Authorization"].removeprefix("Bearer ")
    own = Side(engine.address, dict(engine.headers))
    try:
        with tempfile.TemporaryDirectory() as folder:
            policy = Path(folder) / "policy.yaml"
            policy.write_text(POLICY, "utf-8")
            plain = ("--engine", engine.address, MODEL, "--parallel", "64")
            for prefix, arguments in (("", plain), ("policy_", (*plain, "--policy", str(policy)))):
                with gateway(*arguments) as (address, process):
                    rows.append((f"{'with' if prefix else 'without'} a policy", "", "", "", ""))
                    found = await both_sides(own, Side(address, {}), process.pid, rows, quick=quick)
                figures |= {prefix + name: value for name, value in found.items()}
    finally:
        await engine.stop()


async def both_sides(own: Side, through: Side, process: int, rows: list[tuple[str, ...]], *, quick: bool) -> dict[str, float]:
    """The figures of one gateway, whose process is ``process``."""
    await measure(own, PARALLEL, 1, 8)  # warm
    await measure(through, PARALLEL, 1, 8)
    shares: dict[int, float] = {}
    for clients, tokens in ((1, 64), (8, 48), (32, 24)):
        tokens = tokens // 3 if quick else tokens
        before = processor_seconds(process)
        rounds = [await in_turn(own, through, clients, 1, tokens, bool(n % 2)) for n in range(4 if quick else 12)]
        spent = (processor_seconds(process) - before) / sum(b.tokens for _, b in rounds)
        assert all(a.tokens == b.tokens == clients * tokens for a, b in rounds), "not the same work"
        plain, ours = (statistics.median(r[side].rate for r in rounds) for side in (0, 1))
        each = [b.rate / a.rate for a, b in rounds]
        shares[clients] = statistics.median(each)
        spread = f"{min(each):.1%} to {max(each):.1%}"
        rows.append((f"{clients} clients", f"{plain:,.1f}", f"{ours:,.1f}", f"{shares[clients]:.1%}", spread))
    firsts = [await in_turn(own, through, 1, 5, 1, bool(n % 2)) for n in range(8 if quick else 40)]
    plain, ours = (statistics.median(t for r in firsts for t in r[side].first) * 1000 for side in (0, 1))
    rows.append(("first token, ms", f"{plain:.1f}", f"{ours:.1f}", f"{ours - plain:+.1f}", ""))
    rows.append(("a token at 32 clients", "", f"{spent * 1e6:.0f} µs", "", "processor"))
    return {
        **{f"throughput_share_{clients}": round(share, 4) for clients, share in shares.items()},
        "gateway_microseconds_per_token": round(spent * 1e6, 1),
        "throughput_share": round(min(shares.values()), 4),
        "added_first_token_ms": round(ours - plain, 2),
    }


async def read_slowly(session: aiohttp.ClientSession, side: Side, tokens: int, until: float) -> bool:
    """Read a few bytes at a time until the answer has come and the minute is over; whether it was whole."""
    asked = {
        "model": "tiny", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": tokens,
        "logit_bias": UNENDING, "messages": [{"role": "user", "content": "Hi"}],
    }  # fmt: skip
    body = b""
    try:
        async with session.post(f"{side.address}/chat/completions", json=asked, headers=side.headers) as response:
            if response.status != 200:
                return False
            while piece := await response.content.read(512):
                body += piece
                await asyncio.sleep(max(0.0, min(2.0, until - time.perf_counter())))
    except (aiohttp.ClientError, ConnectionError):
        return False
    counts = [json.loads(line[6:])["usage"]["completion_tokens"] for line in body.split(b"\n") if b'"usage":{' in line]
    return body.endswith(b"data: [DONE]\n\n") and counts == [tokens]


async def stop_reading(side: Side, until: float) -> bool:
    """Ask for far more than a line holds and take nothing; whether the service still has it for us when the time is over."""
    host, port = re.findall(r"//([^:/]+):(\d+)", side.address)[0]
    reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
    writer.write(b"GET /page/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * STALLED_ASKS)
    await asyncio.sleep(until - time.perf_counter())
    answers = 0
    try:
        while piece := await asyncio.wait_for(reader.read(1 << 20), 10):
            answers += piece.count(b"HTTP/1.1 200")
            if answers == STALLED_ASKS:
                break
    except (ConnectionError, TimeoutError):
        pass
    writer.close()
    return answers == STALLED_ASKS


async def slow_clients(count: int, seconds: float, figures: dict[str, Any], rows: list[tuple[str, ...]]) -> None:
    """With a tiny model, for the engine is not what is looked at. Beside them a tenth as many clients that stop reading."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "foundation"))
    from tiny_gguf import write_tiny_gguf

    stalled = max(1, count // 10)
    with tempfile.TemporaryDirectory() as folder:
        model = write_tiny_gguf(Path(folder) / "tiny.gguf")
        config = Path(folder) / "serve.yaml"
        config.write_text(json.dumps({"models": [{"model": str(model), "context": 256}], "limits": {"waiting": count}}))
        with gateway("--config", str(config)) as (address, process):
            side, tokens = Side(address, {}), 96
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            timeout = aiohttp.ClientTimeout(total=None)
            whole: list[bool] = []
            held = 0
            async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=1024) as session:
                for _ in range(2):  # the first time memory is taken that is then kept
                    until = time.perf_counter() + seconds
                    before = resident(process.pid)
                    asked = [asyncio.create_task(read_slowly(session, side, tokens, until)) for _ in range(count)]
                    silent = [
                        asyncio.create_task(stop_reading(side, max(until, time.perf_counter() + STALLED_SECONDS)))
                        for _ in range(stalled)
                    ]
                    while time.perf_counter() < until - 1:
                        await asyncio.sleep(0.5)
                    open_now = sum(not task.done() for task in asked)
                    whole += await asyncio.gather(*asked)
                    held += sum(await asyncio.gather(*silent))
            await asyncio.sleep(1)
            grown = (resident(process.pid) - before) / 1e6
    lost = whole.count(False)
    figures |= {
        "slow_clients": count, "slow_seconds": seconds, "slow_lost": lost, "slow_memory_growth_mb": round(grown, 1),
        "stalled_clients": stalled, "stalled_held": held,
    }  # fmt: skip
    rows.append(
        (f"{count} slow clients", f"{open_now} open to the end", f"{lost} lost", f"{grown:+.1f} MB", f"{seconds:g} s")
    )
    rows.append((f"{stalled} that stop reading", f"{held} still held", "", "", f"{STALLED_SECONDS:g} s"))


def processor_seconds(process: int) -> float:
    """What a process has taken of the processor so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> int:
    """Bytes of memory that a process holds."""
    line = next(x for x in Path(f"/proc/{process}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def arguments() -> argparse.Namespace:
    parser = options(__doc__ or "")
    parser.add_argument("--threads", type=int, help="of the engine; by default as many as there are cores")
    parser.add_argument("--slow", type=int, default=500, help="so many slow clients; 0 for none")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    figures: dict[str, Any] = {"cores": os.cpu_count(), "engine_threads": given.threads or os.cpu_count()}
    rows: list[tuple[str, ...]] = [("", "engine", "gateway", "share", "of single rounds")]
    asyncio.run(compare(figures, rows, quick=given.quick, threads=given.threads))
    if given.slow:
        asyncio.run(slow_clients(given.slow, 20 if given.quick else 60, figures, rows))
    finish(figures, rows, given.json)


if __name__ == "__main__":
    main()
