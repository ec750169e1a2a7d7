"""A run of the workspace that can be signed, and what changes a byte of it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evidence_run import Run

from etymon import recipe
from etymon.commands.signing import sign
from etymon.evidence.keys import PublicKey, load_public, new_key
from etymon.job.record import RunExecution, RunMeaning, run_stage
from etymon.store import Artifact, Store

PASSWORD = "correct horse"


@dataclass(frozen=True)
class SignedRun:
    """A workspace with one signed run."""

    store: Store
    key: Path
    public: PublicKey
    folder: Path
    """Of signatures."""


def record_run(
    run: Run, evidence: Artifact, name: str = "tiny-docs", store: Store | None = None, tokens: int = 1500
) -> Artifact:
    """Note the run under this name, as the main job does."""
    asked = recipe.Recipe(
        name=name,
        foundation="somewhere",
        corpus=recipe.Corpus(sources=(recipe.Source(name="texts", kind="files", license="own", path="texts"),)),
        train=recipe.Train(budget=recipe.Budget(tokens=tokens)),
    )
    parts = {"train": run.derivative, "evidence": evidence, "heldout of tiny-docs": run.heldout}
    return (store or run.store).obtain(run_stage, parts, RunMeaning(recipe=asked, entries=()), RunExecution())[0]


def sign_in(store: Store, place: Path, name: str = "tiny-docs") -> SignedRun:
    key = place / "key.pem"
    public = load_public(key.with_name("key.pem.pub")) if key.exists() else new_key(key, PASSWORD)
    folder, _ = sign(name, store, key, PASSWORD)
    return SignedRun(store, key, public, folder)


def files_of_run(store: Store) -> list[Path]:
    """Every file of the artifacts and of the signatures."""
    places = [store.root / "artifacts", store.root / "signed"]
    return sorted(path for place in places for path in place.rglob("*") if path.is_file())


def flips(files: list[Path], count: int, seed: int) -> Iterator[Path]:
    """Change one byte at random, yield the file while it is changed, and put it back."""
    chance = random.Random(seed)
    for number in range(count):
        path = files[number % len(files)] if number < len(files) else chance.choice(files)
        if not (size := path.stat().st_size):
            continue
        place = chance.randrange(size)
        with path.open("r+b") as file:
            file.seek(place)
            before = file.read(1)
            file.seek(place)
            file.write(bytes([before[0] ^ chance.randrange(1, 256)]))
            file.flush()
            yield path
            file.seek(place)
            file.write(before)
