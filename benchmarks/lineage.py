"""Lineage on a zoo of models whose descent is known: what is found, what is taken for a relation falsely, and how fast.

    python benchmarks/lineage.py [--quick] [--large] [--json FILE]

Positives: SmolLM2-135M, derivatives that our own training (full, LoRA) and TRL made of it, and small models trained here,
each put through the transforms of ``zoo/transforms.py`` alone and composed up to four, and merges. Negatives: every pair of
84 small models trained from scratch (other seeds on the same text in the same order, other text, other sizes; one
tokenizer), SmolLM2-135M against a random start of its config and against Gemma-3-270M. ``--large`` adds a synthetic sharded
pair of 8 billion parameters (32 GB on disk, removed after).

Keys: pairs, detected_share; lossless_pairs, lossless_exact_share (no tensor changed by more than 1e-4); layer_pairs,
layer_map_share; rank_error (of merged adapters, relative), merge_error (of merge weights, largest); directions,
directions_right, directions_unknown, directions_wrong (of pairs whose order is known, both ways round:
``zoo/directions.py``); negatives, false_positives, inconclusive_negatives; share_p_below_01 and share_p_below_01_upper
(over the small models, the upper bound of a 95% interval by bootstrap over models), ks_above (largest excess of the
distribution of p over the uniform one), decoys (pairs of layers that do not correspond, in the real model), decoys_above
(those that agree as much as the weakest true pair); seconds_135m, peak_mb_135m (digests cached; the interpreter's start not
counted), ratio_read (seconds of `sha256sum` / ours for reading and digesting one file); seconds_8b, peak_mb_8b; peer_* for
the Cisco provenance kit 1.0.0 on the same pairs.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from common import BENCH, THIS, finish, median, options, run_json
from etymon.foundation.weights import open_weights
from etymon.lineage.compare import compare
from etymon.lineage.merged import find_merge
from etymon.lineage.verdict import Lineage
from zoo.directions import Said, directions_said
from zoo.large import write_pair
from zoo.peer import peer_verdict
from zoo.real import derivatives, gemma, random_start, smollm
from zoo.small import folder_of, independents, make, relatives
from zoo.transforms import LOSSLESS, REPLACED, TRANSFORMS, Specimen, Transform, compositions, low_rank, merged, rounded

SMALL_HEAD = 32


@dataclass(frozen=True)
class Pair:
    """What was found of a model and what it was made from."""

    name: str
    transform: str
    related: bool
    p_value: float | None
    effect: float | None
    lossless: bool
    exact: bool
    layers: bool | None
    """Whether the layer map is the true one; None where no layer was moved."""
    seconds: float


def read(folder: Path, head: int) -> Specimen:
    weights = open_weights(folder)
    tensors = {name: weights.read(name).copy() for name in weights.names}
    tokenizer = folder / "tokenizer.json"
    tokens = json.loads(tokenizer.read_text("utf-8"))["model"]["vocab"] if tokenizer.exists() else None
    return Specimen(tensors, tokens, head)


def transformed_pairs(source: Path, head: int, transforms: Sequence[Transform], name: str) -> Iterator[Pair]:
    """Each transform of one model, compared with the model as it was."""
    specimen = read(source, head)
    depth = len({name.split(".")[2] for name in specimen.tensors if name.startswith("model.layers.")})
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as room:
        parent = specimen.written(Path(room) / "parent")
        for number, transform in enumerate(transforms):
            model = transform.run(specimen, 1000 + number).written(Path(room) / "model")
            begin = time.perf_counter()
            found = compare(model, parent)
            seconds = time.perf_counter() - begin
            shutil.rmtree(model)
            yield _pair(found, transform, depth, name, seconds)


def _pair(found: Lineage, transform: Transform, depth: int, name: str, seconds: float) -> Pair:
    true_map = sorted((parent, model) for model, parent in enumerate(transform.layers(depth))) if transform.layers else None
    return Pair(
        name=name,
        transform=transform.name,
        related=found.verdict == "related",
        p_value=found.p_value,
        effect=found.effect,
        lossless=transform.lossless,
        exact=found.identical or (bool(found.changes) and all(change.relative < LOSSLESS for change in found.changes)),
        layers=None if true_map is None else sorted(found.layer_map) == true_map,
        seconds=seconds,
    )


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def small_positives(count: int, model: str) -> list[Pair]:
    """One small model through every transform and ``count`` compositions, in one process."""
    drawn = compositions(count, seed=hash_of(model))
    return list(transformed_pairs(BENCH / "zoo" / model, SMALL_HEAD, [*TRANSFORMS, *REPLACED, *drawn], model))


def direction_figures(models: Sequence[str]) -> dict[str, Any]:
    """How often the direction of pairs whose order is known is told rightly, wrongly or not at all."""
    said = [each for found in in_processes(small_directions, models, "directions") for each in found]
    for each in said:
        if each.answer == "wrong":
            print(f"wrong direction: {each}", flush=True)
    shares = {answer: sum(each.answer == answer for each in said) for answer in ("right", "unknown", "wrong")}
    return {
        "directions": len(said),
        "directions_right": round(shares["right"] / len(said), 4),
        "directions_unknown": round(shares["unknown"] / len(said), 4),
        "directions_wrong": shares["wrong"],
    }


def small_directions(model: str) -> list[Said]:
    return directions_said(read(BENCH / "zoo" / model, SMALL_HEAD))


def hash_of(name: str) -> int:
    return sum(ord(letter) * 31**place for place, letter in enumerate(name)) % 2**31


def small_pair(names: tuple[str, str]) -> tuple[str, float | None, float | None]:
    found = compare(BENCH / "zoo" / names[0], BENCH / "zoo" / names[1])
    return found.verdict, found.p_value, found.effect


def in_processes(work: Callable[[Any], Any], items: Sequence[Any], what: str) -> list[Any]:
    """In two processes of one thread each; says how far it is."""
    begin, found = time.perf_counter(), []
    with ProcessPoolExecutor(2, initializer=_one_thread) as pool:
        for number, each in enumerate(pool.map(work, items, chunksize=max(1, min(8, len(items) // 20))), start=1):
            found.append(each)
            if number == len(items) or number % max(1, len(items) // 10) == 0:
                print(f"{what}: {number:,} of {len(items):,}, {time.perf_counter() - begin:.0f} s", flush=True)
    return found


def _one_thread() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def bootstrap_upper(small: np.ndarray, pairs: Sequence[tuple[int, int]], models: int, draws: int = 2000) -> float:
    """Upper bound of a 95% interval of a mean over pairs; models are drawn, for pairs of one model are dependent."""
    rng = np.random.default_rng(0)
    first, second = np.array(pairs).T
    means = []
    for _ in range(draws):
        times = np.bincount(rng.integers(models, size=models), minlength=models)
        weights = times[first] * times[second]
        means.append(float((weights * small).sum() / weights.sum()))
    return float(np.quantile(means, 0.975))


def measure_cost(model: Path, parent: Path, repeats: int) -> dict[str, float]:
    """Seconds of a comparison in a process that has done its imports, digests known; its peak memory from a fresh one."""
    script = Path(__file__).parent / "zoo" / "cost.py"
    runs = [run_json(THIS, script, str(model), str(parent)) for _ in range(repeats)]
    return {"seconds": median(r["seconds"] for r in runs), "peak_mb": max(r["peak_mb"] for r in runs)}


def measure_reading(folder: Path, repeats: int) -> float:
    """Seconds of `sha256sum` over those of digesting every tensor, in pairs, the file in the page cache."""
    (file,) = folder.glob("*.safetensors")
    script = Path(__file__).parent / "zoo" / "digest.py"
    ratios = []
    for _ in range(repeats):
        begin = time.perf_counter()
        subprocess.run(["sha256sum", str(file)], check=True, stdout=subprocess.DEVNULL)
        theirs = time.perf_counter() - begin
        ratios.append(theirs / run_json(THIS, script, str(folder))["seconds"])
    return median(ratios)


def merge_errors(first: Path, second: Path, base: Path) -> tuple[float, list[str]]:
    """The largest error of the merge weights that lineage reports (linear, SLERP), and the methods it named."""
    a, b, origin = (read(each, 64) for each in (first, second, base))
    largest, named = 0.0, []
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as room:
        for how in ("linear", "slerp", "ties", "dare"):
            for weight in (0.3, 0.5):
                made = merged(a.tensors, b.tensors, origin.tensors, how, weight, 1)
                model = Specimen(made, a.tokens, 64).written(Path(room) / "model")
                found = find_merge(model, [first, second], None if how in ("linear", "slerp") else base)
                shutil.rmtree(model)
                print(f"merge {how} {weight}: {found.method}, weights {[round(w, 3) for w in found.weights]}", flush=True)
                named.append(f"{how}: {found.method}")
                if how != "ties":  # whose weights were equal
                    largest = max(largest, abs(found.weights[0] - weight))
    return largest, named


def rank_errors(base: Path, ranks: Sequence[int]) -> float:
    """The largest relative error of the rank of a merged adapter, as it is and rounded to bfloat16."""
    specimen, errors = read(base, 64), []
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as room:
        for rank in ranks:
            made = replace(specimen, tensors=low_rank(specimen.tensors, rank, rank, size=0.02))
            for model in (made, rounded(made, "bfloat16")):
                found = compare(model.written(Path(room) / "model"), base)
                shutil.rmtree(Path(room) / "model")
                low = found.attribution.low_rank if found.attribution else ()
                errors.append(abs(low[0].rank - rank) / rank if low else 1.0)
    return max(errors)


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--large", action="store_true", help="also the pair of 8 billion parameters")
    arguments = parser.parse_args()
    quick = arguments.quick
    small = independents()[:: 6 if quick else 1]
    children = relatives()[: 1 if quick else None]
    needed = {child.continues for child in children}
    make([*small, *(each for each in independents() if each.name in needed)])
    make(children)
    base = smollm()
    figures: dict[str, Any] = {}

    sources = [each.name for each in small if each.heads == 2 and each.key_heads == 1][: 2 if quick else 6]
    positives = [
        pair
        for found in in_processes(partial(small_positives, 4 if quick else 14), sources, "small positives")
        for pair in found
    ]
    for child in children:
        found = compare(folder_of(child), BENCH / "zoo" / child.continues)
        positives.append(
            Pair(child.name, "trained on", found.verdict == "related", found.p_value, found.effect, False, False, None, 0)
        )
    real = {"SmolLM2-135M": base, **({} if quick else derivatives())}
    for number, (name, folder) in enumerate(real.items()):
        chosen = TRANSFORMS[:: 4 if quick else 1] if number == 0 else compositions(4, number)
        chosen = [*chosen, *([] if quick or number else compositions(20, 99))]
        begin = time.perf_counter()
        positives += list(transformed_pairs(folder, 64, chosen, name))
        if number:
            found = compare(folder, base)
            positives.append(
                Pair(name, "trained", found.verdict == "related", found.p_value, found.effect, False, False, None, 0)
            )
        print(f"{name}: {len(chosen)} transformed pairs, {time.perf_counter() - begin:.0f} s", flush=True)
    lossless, moved = [p for p in positives if p.lossless], [p for p in positives if p.layers is not None]
    for pair in positives:
        if not pair.related or (pair.lossless and not pair.exact) or pair.layers is False:
            print(f"missed: {pair}", flush=True)
    figures |= {
        "pairs": len(positives),
        "detected_share": round(sum(p.related for p in positives) / len(positives), 4),
        "lossless_pairs": len(lossless),
        "lossless_exact_share": round(sum(p.exact for p in lossless) / len(lossless), 4),
        "layer_pairs": len(moved),
        "layer_map_share": round(sum(bool(p.layers) for p in moved) / max(1, len(moved)), 4),
    }
    if not quick:
        two = list(derivatives().values())[:2]
        largest, _ = merge_errors(two[0], two[1], base)
        figures["merge_error"] = round(largest, 4)
    figures["rank_error"] = round(rank_errors(base, (8,) if quick else (4, 8, 16, 64)), 4)

    figures |= direction_figures(sources[: 1 if quick else 4])

    pairs = list(combinations(range(len(small)), 2))
    answers = in_processes(small_pair, [(small[i].name, small[j].name) for i, j in pairs], "independent pairs")
    verdicts = [verdict for verdict, _, _ in answers]
    p_values = np.array([1.0 if p is None else p for _, p, _ in answers])
    strangers = {"a random start of its config": random_start(base), "Gemma-3-270M": gemma()}
    for name, folder in strangers.items():
        found = compare(folder, base)
        verdicts.append(found.verdict)
        print(f"SmolLM2-135M and {name}: {found.verdict}, p {found.p_value}, effect {found.effect}", flush=True)
    ordered = np.sort(p_values)
    figures |= {
        "negatives": len(verdicts),
        "false_positives": verdicts.count("related"),
        "inconclusive_negatives": verdicts.count("inconclusive"),
        "share_p_below_01": round(float((p_values <= 0.01).mean()), 4),
        "share_p_below_01_upper": round(bootstrap_upper(p_values <= 0.01, pairs, len(small)), 4),
        "ks_above": round(float((np.arange(1, len(ordered) + 1) / len(ordered) - ordered).max()), 4),
        "median_p": round(float(np.median(p_values)), 3),
    }

    with tempfile.TemporaryDirectory(dir=_fast_folder()) as room:
        noised = next(t for t in TRANSFORMS if t.name == "noise of a tenth")
        specimen = read(base, 64)
        copy = noised.run(specimen, 1).written(Path(room) / "model")
        whole = compare(copy, base)
        neurons = whole.tests[0]
        weakest = min(layer.agreeing for layer in neurons.layers)
        joined = {(layer.parent_layer, layer.model_layer) for layer in neurons.layers}
        decoys = [n for i, row in enumerate(neurons.agreement) for j, n in enumerate(row) if (i, j) not in joined]
        figures |= {"decoys": len(decoys), "decoys_above": sum(n >= weakest for n in decoys)}
        cost = measure_cost(copy, base, 2 if quick else 5)
        figures |= {"seconds_135m": round(cost["seconds"], 2), "peak_mb_135m": round(cost["peak_mb"])}
        figures["ratio_read"] = round(measure_reading(copy, 2 if quick else 5), 2)
        table = peer_table(base, copy, Path(room), specimen, quick)
    figures |= table[1]
    if arguments.large:
        with tempfile.TemporaryDirectory(dir=BENCH) as room:
            model, parent = write_pair(Path(room))
            cost = measure_cost(model, parent, 1)
        figures |= {"seconds_8b": round(cost["seconds"], 1), "peak_mb_8b": round(cost["peak_mb"])}
    finish(figures, table[0], arguments.json)


def peer_table(
    base: Path, noised: Path, room: Path, specimen: Specimen, quick: bool
) -> tuple[list[tuple[str, ...]], dict[str, Any]]:
    """Both tools on the same pairs of 135M folders, each in a process of its own, and what they say."""
    wanted = {"renamed", "stream reordered and flipped", "gains folded", "Q4_1", "every third layer gone"}
    chosen = [t for t in TRANSFORMS if t.name in wanted][: 2 if quick else None]
    pairs: list[tuple[str, Path, bool]] = [
        ("noise of a tenth", noised, True),
        ("a random start of its config", random_start(base), False),
    ]
    pairs += [(t.name, t.run(specimen, 5).written(room / t.name.replace(" ", "-")), True) for t in chosen]
    pairs += [] if quick else [(name, folder, True) for name, folder in derivatives().items()]
    rows: list[tuple[str, ...]] = [("SmolLM2-135M and", "truth", "etymon", "s", "MB", "Cisco kit", "score", "s", "MB")]
    right = {"etymon": 0, "peer": 0}
    false = {"etymon": 0, "peer": 0}
    spent: dict[str, list[float]] = {"etymon": [], "peer": [], "etymon_mb": [], "peer_mb": []}
    for name, folder, related in pairs:
        for extra in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            if not (folder / extra).exists() and (base / extra).exists():
                shutil.copy(base / extra, folder / extra)
        ours = run_json(THIS, Path(__file__).parent / "zoo" / "cost.py", str(folder), str(base), "whole")
        theirs = peer_verdict(folder, base)
        for side, said in (("etymon", ours["verdict"] == "related"), ("peer", theirs.match)):
            right[side] += said == related
            false[side] += said and not related
        spent["etymon"].append(ours["seconds"])
        spent["peer"].append(theirs.seconds)
        spent["etymon_mb"].append(ours["peak_mb"])
        spent["peer_mb"].append(theirs.peak_mb)
        rows.append((
            name, "related" if related else "independent",
            ours["verdict"], f"{ours['seconds']:.1f}", f"{ours['peak_mb']:.0f}",
            theirs.words, f"{theirs.score:.3f}", f"{theirs.seconds:.1f}", f"{theirs.peak_mb:.0f}",
        ))  # fmt: skip
    return rows, {
        "peer_pairs": len(pairs),
        "right": right["etymon"],
        "peer_right": right["peer"],
        "peer_false_positives": false["peer"],
        "peer_seconds": round(median(spent["peer"]), 2),
        "seconds_whole": round(median(spent["etymon"]), 2),
        "peer_mb": round(max(spent["peer_mb"])),
        "mb_whole": round(max(spent["etymon_mb"])),
    }


if __name__ == "__main__":
    sys.exit(main())
