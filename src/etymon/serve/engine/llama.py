"""llama.cpp in a process of its own: started, watched, started again when it ends unasked."""

import asyncio
import importlib.util
import json
import os
import re
import secrets
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etymon.errors import EtymonError
from etymon.serve.engine.llama_order import for_llama

BACK_OFF_SECONDS = (0.2, 1.0, 5.0, 15.0, 30.0)
"""Before each start after an end; an engine that held for longer than the last begins again with the first."""
_EMBEDDED_TOGETHER = 2
_SPINS = "1000"
"""Rounds that a thread of llama.cpp waits awake for the others. OpenMP's own 300,000 take a core from a thread that is waited
for where other work runs on the machine: answers then took two to five times as long. Alone it costs nothing measurable."""
_LINES = 60
_ENVIRONMENT = (
    "PATH", "HOME", "TMPDIR", "TEMP", "TMP", "LANG", "LC_", "TZ", "LD_", "DYLD_", "SYSTEMROOT", "PYTHON", "VIRTUAL_ENV",
    "CONDA_PREFIX", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "GOMP_", "GGML_", "LLAMA_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_",
    "HSA_", "GPU_", "SYCL_", "ONEAPI_", "ZE_", "VK_", "ASCEND_", "MUSA_", "METAL_",
)  # fmt: skip
"""How the variables begin that the child gets. It reads files of strangers: the service's secrets are not for it."""


@dataclass(frozen=True)
class LlamaSettings:
    """What one engine runs."""

    name: str
    path: Path
    """A GGUF file."""
    context: int
    """Tokens of a request and its answer together. Memory for ``parallel`` of them is taken at the start."""
    parallel: int
    """Requests computed together."""
    threads: int | None = None
    """By default as many as the machine has cores."""
    embeddings: bool = False
    """For /v1/embeddings, and nothing else."""
    pooled: bool = False
    """The file says how the vectors of an input's tokens become one; else it is their mean."""


class LlamaEngine:
    """One model in one child process, which ends when this process does, however it ends."""

    def __init__(self, settings: LlamaSettings, changed: Callable[[str, str], None]) -> None:
        """``changed`` is told the model's name and "ready", "ended" or "failed"."""
        self.settings = settings
        self.address = ""
        self.ready = False
        self._ended = 0
        self._changed = changed
        self._key = secrets.token_urlsafe(32)
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._embedder: asyncio.Task[LlamaEngine] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    @property
    def restarts(self) -> int:
        """Of this process and of that for vectors."""
        return self._ended + (self._embedding.restarts if self._embedding else 0)

    def adapted(self, order: dict[str, Any]) -> dict[str, Any]:
        """Raises Unsupported."""
        return for_llama(order)

    async def for_vectors(self) -> "LlamaEngine":
        """A second process, for one that computes vectors can do nothing else. Raises EtymonError where it does not start.

        It is started once, whoever asks and whoever leaves meanwhile.
        """
        if self.settings.embeddings:
            return self
        if self._embedder is None or (self._embedder.done() and self._embedding is None):
            self._embedder = asyncio.create_task(self._start_embedder())
        return await asyncio.shield(self._embedder)

    async def _start_embedder(self) -> "LlamaEngine":
        engine = LlamaEngine(replace(self.settings, embeddings=True, parallel=_EMBEDDED_TOGETHER), self._changed)
        await engine.start()
        return engine

    @property
    def _embedding(self) -> "LlamaEngine | None":
        """The engine for vectors, where it was started."""
        task = self._embedder
        return task.result() if task and task.done() and not task.cancelled() and not task.exception() else None

    async def start(self) -> None:
        """Raises EtymonError where llama.cpp does not take the model."""
        if importlib.util.find_spec("xllamacpp") is None:
            raise EtymonError("llama.cpp is not installed.", "Install it: pip install 'etymon[serve]'.")
        await self._begin()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        self.ready = False
        for task in (self._watcher, self._embedder):
            if task:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._embedding:
            await self._embedding.stop()
        await self._end()

    async def _begin(self) -> None:
        """Raises EtymonError where the model cannot be served; whatever is raised, no process is left."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "etymon.serve.engine.llama_child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the gateway, which lets answers end first
        )
        try:
            await self._await_address(self._process)
        except BaseException:
            await self._end()
            raise
        self.ready = True
        self._changed(self.settings.name, "ready")

    async def _await_address(self, process: asyncio.subprocess.Process) -> None:
        each = self.settings
        assert process.stdin
        assert process.stdout
        assert process.stderr
        said: deque[str] = deque(maxlen=_LINES)
        listening = asyncio.create_task(_listen(process.stderr, said))
        order = {
            "path": str(each.path), "name": each.name, "key": self._key, "context": each.context, "parallel": each.parallel,
            "threads": each.threads, "embeddings": each.embeddings, "pooled": each.pooled,
            "connections": 4 * each.parallel + 8,
        }  # fmt: skip
        process.stdin.write(json.dumps(order).encode() + b"\n")
        line = await process.stdout.readline()
        if not line:
            await process.wait()
            await listening
            raise EtymonError(f"{each.path} cannot be served: {_reason(said)}.", _remedy(said))
        self.address = f"{json.loads(line)['address']}/v1"

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process and process.returncode is None:
            process.kill()  # it writes nothing, and its threads do not end when asked
            await process.wait()

    async def _watch(self) -> None:
        """Start it again whenever it ends."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            begun = loop.time()
            if self._process:
                await self._process.wait()
                self._process = None
                self.ready = False
                self._ended += 1
                self._changed(self.settings.name, "ended")
            failures = 0 if loop.time() - begun > BACK_OFF_SECONDS[-1] else failures
            await asyncio.sleep(BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS) - 1)])
            failures += 1
            try:
                await self._begin()
            except Exception:  # where memory is short no process can be made, for one
                self._changed(self.settings.name, "failed")


def _environment() -> dict[str, str]:
    """Of the child. What the user says of waiting threads holds."""
    given = {name: value for name, value in os.environ.items() if name.upper().startswith(_ENVIRONMENT)}
    return given if "OMP_WAIT_POLICY" in given else {"GOMP_SPINCOUNT": _SPINS} | given


async def _listen(stream: asyncio.StreamReader, said: deque[str]) -> None:
    """Keep the last lines, to explain a failure to start. They are not passed on: an error may quote what it was asked."""
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # a line longer than the reader's buffer
            continue
        if not line:
            return
        said.append(line.decode("utf-8", "replace").strip())


def _reason(said: deque[str]) -> str:
    """The first cause that llama.cpp or Python names."""
    for line in said:
        if found := re.search(r"error loading model: (?:\w+: )?(.+)", line):
            return found.group(1).rstrip(".")
    errors = [line for line in said if " E " in line or "Error" in line]
    return re.sub(r"^[\d.]+ E ", "", errors[0]).rstrip(".") if errors else "llama.cpp ended without a word"


def _remedy(said: deque[str]) -> str:
    if any("unknown model architecture" in line for line in said):
        return "llama.cpp does not know this architecture: serve it by vLLM or SGLang, and give --engine its address."
    if any("failed to allocate" in line or "out of memory" in line for line in said):
        return "Give a smaller --context or --parallel: memory for all requests is taken at the start."
    return "Look whether the file is whole; `etymon export --to gguf` writes one that is."
