"""Curating documents beside datatrove: the same rules over the same documents, and whether duplicates are found.

    python benchmarks/corpus.py [--quick] [--large] [--poems FOLDER] [--json FILE]

Documents are composed of sentences that any machine with Python has (docstrings, package descriptions, README files), with
near duplicates, exact copies and bad documents planted (``texts/``). Rules on both sides: Gopher's quality and repetition
rules and FineWeb's, then MinHash of five-grams, 14 bands of 8. datatrove splits English into words with spaCy's blank ``en``,
its own choice, which needs no download. Both sides may use two processes and are timed as whole commands, the interpreter's
start included; ``start_seconds`` is what a run over 40 documents takes.

Keys: ratio_datatrove (documents per second, ours / theirs, median of interleaved pairs), ratio_without_start, ratio_cpu (by
processor time); documents_per_second, start_seconds, peak_mb_articles, and the same of datatrove with ``peer_`` before them;
kept_both, kept_ours_only, kept_theirs_only, differences (count by cause), unexplained; duplicate_pairs, duplicate_recall (of
planted pairs with an exact Jaccard similarity of 0.9 or more, the share of which not both survive), duplicate_removed,
duplicate_precision (of documents removed as near duplicates, the share that is 0.7 or more like its survivor), both by plain
sets computed here, over the short documents; peer_duplicate_recall and its like, of datatrove over the articles;
seconds_per_1000, cpu_seconds_per_1000 and peak_mb by number of short documents (``--large`` adds two million);
redecide_seconds and redecide_peak_mb at a million documents. ``--poems FOLDER`` adds Tang poems (JSON of
``{paragraphs: […]}``) to the short documents.
"""

import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import yaml

from common import BENCH, THIS, finish, median, options, peer_python, run_json
from texts import outcomes
from texts.differences import NOT_EXPLAINED, SIMILAR, causes
from texts.documents import ARTICLES, NOTES, Document, compose, read_poems, write_jsonl
from texts.families import likeness, shingles
from texts.outcomes import Outcome
from texts.prose import paragraphs, sentences
from texts.tiled import tile
from watch import Watched, watch

PEER = ("datatrove", ["datatrove[io,processing]==0.10.1", "spacy==3.8.*", "jieba==0.42.1"])
ROOM = BENCH / "corpus"
ALIKE = 0.9
"""Pairs at least so similar must not both survive."""
MILLION = 1_000_000
MOST_COMPARED = 200_000
"""Documents of a collection whose planted pairs are compared."""
_RECIPE = {
    "name": "benchmark",
    "foundation": "smollm2-135m-instruct-q4_1",
    "train": {"budget": {"tokens": 1000}},
    "evaluate": {"tasks": ["heldout"]},
}


POLICIES = Path(__file__).parent / "texts"


class Collection:
    """Documents on disk, in a folder of their own."""

    def __init__(self, name: str, documents: list[Document], policy: str) -> None:
        self.documents = documents
        self.policy = POLICIES / f"{policy}.yaml"
        self.folder = ROOM / name
        shutil.rmtree(self.folder, ignore_errors=True)
        write_jsonl(self.documents, self.folder / "documents")

    def __len__(self) -> int:
        return len(self.documents)

    def curate(self) -> tuple[Watched, Path]:
        """By us, in a new workspace; also the corpus artifact."""
        workspace = self.folder / "workspace"
        shutil.rmtree(workspace, ignore_errors=True)
        source = {"name": "documents", "kind": "files", "license": "own", "path": "documents"}
        corpus = {"sources": [source], "data_policy": str(self.policy)}
        recipe = self.folder / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(_RECIPE | {"corpus": corpus}), "utf-8")
        done = watch([THIS, "-m", "etymon", "corpus", "build", recipe, "--workspace", workspace])
        (decisions,) = workspace.rglob("decisions.parquet")
        return done, decisions.parent

    def curate_by_peer(self) -> tuple[Watched, Path]:
        """By datatrove; also the folder of what it wrote."""
        out = self.folder / "datatrove"
        script = Path(__file__).parent / "peers" / "datatrove_corpus.py"
        return watch([peer_python(*PEER), script, self.folder / "documents", out]), out


def articles(count: int, repeats: int, prose: Sequence[str], seed: int) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """Both sides over the same articles, in turn, and why their results differ."""
    few = Collection("few", compose(40, ARTICLES, prose, [], seed), "gopher_fineweb")
    many = Collection("articles", compose(count, ARTICLES, prose, [], seed), "gopher_fineweb")
    start = few.curate()[0].seconds, few.curate_by_peer()[0].seconds
    runs, theirs = [], []
    for _ in range(repeats):
        ours, corpus = many.curate()
        runs.append(ours)
        peer, written = many.curate_by_peer()
        theirs.append(peer)
        print(f"{count:,} articles: etymon {ours.seconds:.1f} s, datatrove {peer.seconds:.1f} s", flush=True)
    pairs = list(zip(runs, theirs, strict=True))
    texts = [document.text for document in many.documents]
    sides = outcomes.ours(corpus, count), outcomes.theirs(written, count)
    found = causes(texts, *sides, outcomes.our_bands(many.folder / "workspace"), peer_python(*PEER))
    differences = Counter(f"kept by {side} alone: {cause}" for side, cause in found.values())
    for cause, times in differences.most_common():
        print(f"{times:6,}  {cause}")
    sums = Counter(side for side, _ in found.values())
    kept = [sum(outcome.kept for outcome in side) for side in sides]
    seconds, peer_seconds = median(run.seconds for run in runs), median(run.seconds for run in theirs)
    figures = {
        "articles": count,
        "ratio_cpu": round(median(b.cpu_seconds / a.cpu_seconds for a, b in pairs), 2),
        "ratio_datatrove": round(median(b.seconds / a.seconds for a, b in pairs), 2),
        "ratio_without_start": round(median((b.seconds - start[1]) / (a.seconds - start[0]) for a, b in pairs), 2),
        "documents_per_second": round(count / seconds, 1),
        "peer_documents_per_second": round(count / peer_seconds, 1),
        "start_seconds": round(start[0], 1),
        "peer_start_seconds": round(start[1], 1),
        "peak_mb_articles": round(max(run.peak_mb for run in runs)),
        "peer_peak_mb": round(max(run.peak_mb for run in theirs)),
        "kept_both": kept[0] - sums["ours"],
        "kept_ours_only": sums["ours"],
        "kept_theirs_only": sums["theirs"],
        "differences": dict(differences.most_common()),
        **{f"peer_{name}": value for name, value in duplicates(many.documents, sides[1]).items()},
        "unexplained": sum(times for cause, times in differences.items() if NOT_EXPLAINED in cause),
    }
    table = [
        _line("etymon", count, seconds, figures["peak_mb_articles"], kept[0]),
        _line("datatrove 0.10.1", count, peer_seconds, figures["peer_peak_mb"], kept[1]),
    ]
    return figures, table


def duplicates(documents: Sequence[Document], found: Sequence[Outcome]) -> dict[str, Any]:
    """Recall over the planted pairs that no rule dropped, precision over what was removed as a near duplicate."""
    families: dict[int, list[int]] = defaultdict(list)
    for place, document in enumerate(documents):
        if document.family >= 0 and found[place].rule is None:
            families[document.family].append(place)
    pairs = missed = 0
    for members in families.values():
        grams = [(place, shingles(documents[place].text)) for place in members]
        for (one, first), (other, second) in combinations(grams, 2):
            if likeness(first, second) >= ALIKE:
                pairs += 1
                missed += found[one].kept and found[other].kept
    removed = [place for place, outcome in enumerate(found) if outcome.duplicate == "near-duplicate"]
    right = sum(_like_its_survivor(documents, place, found[place].survivor) for place in removed)
    return {
        "duplicate_pairs": pairs,
        "duplicate_recall": round(1 - missed / max(1, pairs), 5),
        "duplicate_removed": len(removed),
        "duplicate_precision": round(right / max(1, len(removed)), 5),
    }


def _like_its_survivor(documents: Sequence[Document], place: int, survivor: int | None) -> bool:
    texts = [documents[each].text for each in (place, survivor) if each is not None]
    return len(texts) == 2 and likeness(*map(shingles, texts)) >= SIMILAR


def redecide(notes: Collection) -> dict[str, Any]:
    """All rules of Gopher and FineWeb over a corpus of a million documents, made of the notes many times over."""
    workspace, policy = ROOM / "tiled", POLICIES / "gopher_fineweb.yaml"
    tile(notes.folder / "workspace", workspace, MILLION // len(notes))
    found = run_json(THIS, Path(__file__).parent / "peers" / "etymon_redecide.py", str(workspace), str(policy))
    shutil.rmtree(workspace)
    assert found["documents"] == MILLION
    return {"redecide_seconds": round(found["seconds"], 2), "redecide_peak_mb": round(found["peak_mb"])}


def _line(name: str, count: int, seconds: float, peak_mb: float, kept: int) -> tuple[str, ...]:
    return (name, f"{count:,}", f"{seconds:.1f}", f"{count / seconds:,.0f}", f"{peak_mb:,.0f}", f"{kept:,}")


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--large", action="store_true", help="also two million short documents")
    parser.add_argument("--poems", type=Path, metavar="FOLDER", help="Tang poems to make short documents of")
    parser.add_argument("--count", type=int, help="articles for the comparison (4000; 2000 with --quick)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="how often both sides run over the articles (once with --quick)"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    ROOM.mkdir(parents=True, exist_ok=True)
    prose = sentences(paragraphs())
    poems = read_poems(arguments.poems) if arguments.poems else []
    count = arguments.count or (2000 if quick else 4000)
    figures, table = articles(count, 1 if quick else arguments.repeats, prose, arguments.seed)
    table = [("", "documents", "seconds", "documents/s", "peak MB", "kept"), *table]
    figures |= {"seconds_per_1000": {}, "cpu_seconds_per_1000": {}, "peak_mb": {}}
    for size in (20_000, *([] if quick else [200_000]), *([2_000_000] if arguments.large else [])):
        notes = Collection(f"notes-{size}", compose(size, NOTES, prose, poems, arguments.seed), "notes")
        done, corpus = notes.curate()
        figures["seconds_per_1000"][str(size)] = round(1000 * done.seconds / size, 3)
        figures["cpu_seconds_per_1000"][str(size)] = round(1000 * done.cpu_seconds / size, 3)
        figures["peak_mb"][str(size)] = round(done.peak_mb)
        kept = sum(parquet.read_metadata(corpus / f"{side}.parquet").num_rows for side in ("train", "heldout"))
        table.append(_line("etymon, short documents", size, done.seconds, done.peak_mb, kept))
        print(f"{size:,} short documents: {done.seconds:.0f} s, {done.peak_mb:,.0f} MB", flush=True)
        if size <= MOST_COMPARED:
            figures |= duplicates(notes.documents, outcomes.ours(corpus, size))
        if size == 20_000:
            figures |= redecide(notes)
        shutil.rmtree(notes.folder)
    finish(figures, table, arguments.json)
    assert figures["unexplained"] == 0, "both sides differ, and it is not known why"


if __name__ == "__main__":
    sys.exit(main())
