"""Everything that can be seen of a corpus, as one record."""

import os
from pathlib import Path

from etymon.corpus.inspect.distributions import Distribution, distributions
from etymon.corpus.inspect.diversity import Diversity, diversity
from etymon.corpus.inspect.duplicates import Duplicates, duplicates
from etymon.corpus.inspect.examples import Changes, changes
from etymon.corpus.inspect.funnel import Funnel, funnel
from etymon.corpus.inspect.opened import OpenCorpus
from etymon.corpus.inspect.redecide import Redecision
from etymon.errors import EtymonError
from etymon.progress import Clock, Listener, silent
from etymon.store import Config


class Inspection(Config):
    """What a corpus is made of and how it came to that."""

    corpus: str
    policy: str
    changed: tuple[str, ...]
    """What of the recipe that it was opened by is not as it was when the corpus was built."""
    funnel: Funnel
    distributions: tuple[Distribution, ...]
    duplicates: Duplicates
    diversity: Diversity
    changes: Changes
    redecision: Redecision | None = None
    """What another policy changes, if one was asked about."""


def inspect(opened: OpenCorpus, listener: Listener = silent) -> Inspection:
    """Look at all of it."""
    steps = 5
    tick = Clock(listener, "inspect", "looking at every document", total=steps, unit="looks")
    path = funnel(opened)
    tick(1)
    spread = distributions(opened)
    tick(2)
    twice = duplicates(opened)
    tick(3)
    varied = diversity(opened)
    tick(4)
    changed = changes(opened)
    tick(steps)
    return Inspection(
        corpus=opened.corpus.name,
        policy=opened.policy.name,
        changed=opened.changed,
        funnel=path,
        distributions=spread,
        duplicates=twice,
        diversity=varied,
        changes=changed,
    )


def write_record(found: Config, path: Path) -> None:
    """Write a record as JSON, whole or not at all. Raises EtymonError where that is no place for it."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made.write_text(found.model_dump_json(indent=1), "utf-8")
        made.replace(path)
    except OSError as error:
        raise EtymonError(
            f"{path} cannot be written: {error.strerror or error}.", "Name a file in a folder that is there."
        ) from error
    finally:
        made.unlink(missing_ok=True)
