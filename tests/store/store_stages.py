"""Stages small enough to watch, and a program that runs one of them in a process of its own."""

import sys
import time
from pathlib import Path

from etymon.errors import EtymonError
from etymon.store import Config, Draft, Stage, Store


class Words(Config):
    """What the stage writes."""

    text: str = "some words"
    parts: int = 20
    bytes_each: int = 1000


class Pace(Config):
    """How slowly it writes."""

    seconds_each: float = 0.0
    announce: str = ""
    """A file that gets a line for every part written."""


def write_parts(draft: Draft[Words, Pace]) -> None:
    for number in range(draft.meaning.parts):
        content = (draft.meaning.text + "\n") * (draft.meaning.bytes_each // (len(draft.meaning.text) + 1) + 1)
        folder = draft.folder / f"group-{number % 3}"
        folder.mkdir(exist_ok=True)
        (folder / f"part-{number}.txt").write_text(content, "utf-8")
        if draft.execution.announce:
            with Path(draft.execution.announce).open("a", encoding="utf-8") as lines:
                lines.write(f"{number}\n")
        time.sleep(draft.execution.seconds_each)
    draft.facts |= {"parts": draft.meaning.parts, "pair": (1, 2), "nothing": None, "text": "ß\N{GREEK SMALL LETTER PI}"}


words_stage = Stage("words", 1, write_parts, Words, Pace)


def main(root: str, announce: str, seconds: str) -> None:
    """Obtain the stage's artifact; print its name and whether it was there, or the error."""
    try:
        artifact, reused = Store(Path(root)).obtain(
            words_stage, {}, Words(), Pace(seconds_each=float(seconds), announce=announce)
        )
    except EtymonError as error:
        print(f"error {error}")
        sys.exit(2)
    print(artifact.name, reused)


if __name__ == "__main__":
    main(*sys.argv[1:])
