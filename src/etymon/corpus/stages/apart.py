"""Doing a stage's work in a process of its own.

The data engine does not give all memory back that it took for a write, and its runner is fixed for the life of a process. So
large work, and work on a cluster, is done by a child that ends with it; small work is not worth a second of imports.
"""

import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

from etymon.corpus.batches import table_bytes
from etymon.corpus.engine import RUNNER, leave_pandas_out
from etymon.errors import EtymonError
from etymon.progress import Report
from etymon.store import Draft

LARGE_BYTES = 200_000_000
"""Of tables to be read, unpacked; smaller ones are worked on here."""

Build = Callable[[Draft[Any, Any]], None]


def apart_if_large(build: Build, draft: Draft[Any, Any], tables: list[Path], *, always: bool = False) -> None:
    """Call ``build(draft)``, in a child process where the tables it reads are large or the runner is not the embedded one.

    ``always`` is for work that starts processes of its own: the engine aborts its process after one of these was killed.

    ``build`` is a function of a module, or a part of one. The child's progress is the draft's; its errors are raised here.
    Raises EtymonError where the child is killed.
    """
    runner = draft.execution.data_runner
    small = sum(map(table_bytes, tables)) < LARGE_BYTES
    if small and not always and runner == os.environ.get(RUNNER, "native"):
        build(draft)
        return
    order = pickle.dumps((build, replace(draft, scratch=_no_scratch, listener=_no_listener)))
    child = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {RUNNER: runner},
    )
    assert child.stdin
    assert child.stdout
    with child:
        try:
            child.stdin.write(order)
            child.stdin.flush()  # and kept open: its end tells the child that this process is gone
        except BrokenPipeError:  # it is gone already
            with suppress(BrokenPipeError):
                child.stdin.close()
        while True:
            try:
                kind, content = pickle.load(child.stdout)
            except (EOFError, pickle.UnpicklingError):  # at the end of a message, or within one
                break
            match kind:
                case "report":
                    draft.listener(content)
                case "done":
                    facts, logs = content
                    draft.facts |= facts
                    draft.logs |= logs
                    return
                case "refused":
                    raise EtymonError(*content)
                case _:
                    raise RuntimeError(f"the process that made {draft.stage} failed:\n{content}")
        status = child.wait()
    raise EtymonError(
        f"The process that made the {draft.stage} ended before its work was done (status {status}).",
        "Where the machine ran out of memory, it is killed: close other programs or build on a larger machine. "
        "What was finished before is kept, and the same command goes on from there.",
    )


def _no_scratch(key: str) -> Path:
    raise NotImplementedError("a stage that works apart keeps nothing between attempts")


def _no_listener(report: Report) -> None:
    raise NotImplementedError("set in the child")


def _child() -> None:
    """Read the order, do it, and send what comes of it; standard output belongs to the messages alone."""
    if os.environ[RUNNER] == "native":  # on Ray, the engine's own parts may ask for it
        leave_pandas_out()
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def send(kind: str, content: Any) -> None:
        pickle.dump((kind, content), messages)
        messages.flush()

    build, draft = pickle.load(sys.stdin.buffer)
    Thread(target=_end_with_parent, daemon=True).start()
    draft.listener = lambda report: send("report", report)
    try:
        build(draft)
    except EtymonError as error:
        send("refused", (error.problem, error.remedy))
    except BaseException:
        send("failed", traceback.format_exc())
    else:
        send("done", (draft.facts, draft.logs))


def _end_with_parent() -> None:
    os.read(0, 1)  # unbuffered: the interpreter could not end while a thread of it held the buffer's lock
    os._exit(1)  # or a second attempt would find this one writing into its folder


if __name__ == "__main__":
    _child()
