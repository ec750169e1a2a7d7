"""Fifty models of three bases and five corpora in one register, with all that is downstream of what, by plain tables."""

import datetime
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
from pydantic import Field
from register_office import LATER, Office, digest_of

from etymon.evidence.provenance import model_digest
from etymon.evidence.register.act import about
from etymon.evidence.register.chain import append
from etymon.evidence.register.decision import Added, Approved, Decision, DeclaredParent, Details, Submitted
from etymon.evidence.register.pins import Holdings, take_pins
from etymon.store import Artifact, Config, Draft, Input, Stage, Store

DOCUMENT, COPY = "a" * 20, "b" * 20
"""A document's id, and that of one so alike that only one of the two is kept."""
BASES = ["b0", "b1", "b2"]
TRAINED = 48
"""Models that were trained here; two more come from outside."""


@dataclass(frozen=True)
class Given:
    """Something from outside, or a model in an artifact."""

    name: str
    digest: str
    folder: Path = Path()


class Anything(Config):
    """What these stages look at."""

    number: int = 0
    start: str = "foundation"
    settings: dict[str, Any] = Field(default_factory=dict)


def made(
    store: Store, stage: str, inputs: dict[str, Input], facts: dict[str, Any], files: dict[str, bytes], **meaning: Any
) -> Artifact:
    """An artifact as the stage of that name leaves it, with these files."""

    def write(draft: Draft[Anything, Anything]) -> None:
        for name, content in files.items():
            (draft.folder / name).parent.mkdir(exist_ok=True)
            (draft.folder / name).write_bytes(content)
        draft.facts |= facts

    return store.obtain(Stage(stage, 1, write, Anything, Anything), inputs, Anything(**meaning), Anything())[0]


@dataclass
class World:
    """The store, and what is in what."""

    office: Office
    corpora: list[Artifact] = field(default_factory=list)
    models: list[Input] = field(default_factory=list)
    """The models themselves, the last two from outside."""
    trained: list[Artifact] = field(default_factory=list)
    scores: dict[str, set[str]] = field(default_factory=dict)
    """Evaluations by what was measured on: ``b0``, ``m7``, ``held-out c1``."""
    contains: dict[str, set[str]] = field(default_factory=dict)
    """What each model was made from, by short names: bases, corpora, models; and what was only measured to be in it."""

    def downstream(self, starts: set[str]) -> set[str]:
        """Names of the models that hold any of these."""
        found = set(starts)
        while more := {name for name, parts in self.contains.items() if parts & found} - found:
            found |= more
        return found - starts

    @property
    def store(self) -> Store:
        return self.office.store


def make_world(root: Path) -> World:
    world = World(Office(Store(root)))
    for number in range(5):
        world.corpora.append(_corpus(world.store, number))
    for number in range(TRAINED):
        _train(world, number)
    for number, parent in ((48, "b0"), (49, "m2")):
        world.models.append(Given(f"m{number}", digest_of(f"m{number}")))
        world.contains[f"m{number}"] = {parent}
    _measure(world)
    _register(world)
    return world


def _corpus(store: Store, number: int) -> Artifact:
    source = Given(f"notes-{number}", digest_of(f"source {number}"))
    documents = made(store, "documents", {f"notes-{number}": source}, {}, {"documents.parquet": b"%d" % number})
    signals = made(store, "signals", {"documents": documents}, {}, {"signals.parquet": b"%d" % number})
    inputs: dict[str, Input] = {"documents": documents, "signals": signals}
    rows = [{"id": f"{number}{place:019}", "unit": f"{place}.txt", "side": "train"} for place in range(5)]
    rows += {
        0: [{"id": DOCUMENT, "unit": "secret.txt", "side": "train"}],
        1: [{"id": DOCUMENT, "unit": "secret.txt", "side": "heldout"}],
        2: [
            {"id": COPY, "unit": "other.txt", "side": "train"},
            {"id": DOCUMENT, "unit": "secret.txt", "reason": "near-duplicate", "detail": COPY},
        ],
        3: [{"id": DOCUMENT, "unit": "secret.txt", "reason": "too-short", "detail": "3 words"}],
        4: [],
    }[number]
    names = ["id", "source", "unit", "url", "reason", "detail", "side"]
    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names}
    columns["source"] = pa.array([f"notes-{number}"] * len(rows), pa.string())
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink)
    return made(store, "corpus", inputs, {"waived": []}, {"decisions.parquet": sink.getvalue().to_pybytes()})


def _train(world: World, number: int) -> None:
    """Up to 29 from the bases; up to 44 from those; then a random start, one chosen by held-out documents, one measured."""
    base: Input = Given(BASES[number % 3], digest_of(f"base {BASES[number % 3]}"))
    corpus, holds = number % 5, {BASES[number % 3]}
    settings: dict[str, Any] = {}
    if 30 <= number < 45:
        base, holds = world.models[number - 30], {f"m{number - 30}"}
    if number == 46:
        corpus, settings = 1, {"keep": "best"}
    if number in (45, 47):
        holds = {"m3"} if number == 47 else set()
    inputs = {"foundation": base, "corpus": world.corpora[corpus]}
    weights = {"model/weights": b"weights of %d" % number, "model/tokenizer.json": b"the same for all"}
    start = "random" if number in (45, 47) else "foundation"
    trained = made(world.store, "train", inputs, {}, weights, number=number, start=start, settings=settings)
    world.trained.append(trained)
    world.models.append(Given(f"m{number}", model_digest(trained)))
    world.contains[f"m{number}"] = holds | {f"c{corpus}"}


def _measure(world: World) -> None:
    store = world.store
    examined: dict[str, Input] = {name: Given(name, digest_of(f"base {name}")) for name in BASES}
    examined |= {each.name: each for each in world.models[:TRAINED]}
    for name, model in examined.items():
        quiz = made(store, "evaluate", {"model": model}, {"task": "quiz", "model": name}, {"records": name.encode()})
        world.scores.setdefault(name, set()).add(quiz.name)
        for corpus in world.contains.get(name, {"c4"}) & {f"c{number}" for number in range(5)}:
            label = f"held-out documents of {world.corpora[int(corpus[1:])].name}"
            inputs = {"model": model, "documents": Given(label, digest_of(f"questions of {corpus}"))}
            facts = {"task": "heldout", "model": name}
            score = made(store, "evaluate", inputs, facts, {"records": f"{name} {corpus}".encode()}).name
            world.scores[name].add(score)
            world.scores.setdefault(f"held-out {corpus}", set()).add(score)
    pairs = [(number, BASES[number % 3], "related", "unknown") for number in range(10)]
    pairs += [(47, "m3", "related", "model from parent"), (5, "m6", "independent", "unknown")]
    pairs += [(7, "m8", "related", "common origin"), (4, "m3", "inconclusive", "unknown")]
    for number, parent, verdict, direction in pairs:
        facts = {"verdict": verdict, "direction": direction}
        content = json.dumps({"verdict": verdict}).encode()
        pair = {"model": examined[f"m{number}"], "parent": examined[parent]}
        made(store, "lineage", pair, facts, {"lineage.json": content})
    for number, trained in enumerate(world.trained[:10]):
        papers = {"obligations.json": json.dumps({"rules_version": 1, "materials": []}).encode()}
        made(store, "evidence", {"derivative": trained}, {"name": f"m{number}"}, papers)


def _register(world: World) -> None:
    """All of them submitted, every other one approved."""
    holdings = Holdings(world.store.artifacts())
    for number, model in enumerate(world.models):
        parents = ()
        if number >= TRAINED:
            parent, digest = (("org/b0", digest_of("base b0")), ("m2", world.models[2].digest))[number - TRAINED]
            parents = (DeclaredParent(of=model.digest, name=parent, relation="finetune", digest=digest),)
        _decide(world, "Ada", model, Added(source=model.name, license="MIT", parents=parents))
        _decide(world, "Ada", model, Submitted())
        if number % 2 == 0:
            _decide(world, "Grace", model, Approved(until=LATER, pins=take_pins(model.digest, "MIT", holdings)))


def _decide(world: World, who: str, model: Input, details: Details) -> None:
    office = world.office
    previous = office.last.digest if office.last else None
    now = datetime.datetime.now(datetime.UTC)
    decision = Decision(about=about("model", model.name, "1", model.digest), details=details, when=now, previous=previous)
    key = office.keys[who]
    office.last = append(office.store, decision, key, office.signers[key.public.id], {"model": model})
