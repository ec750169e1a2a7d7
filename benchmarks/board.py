"""The board's pages at size: 1,000 models on 20 tasks, made from synthetic standings and opened in headless Chromium.

    python benchmarks/board.py [--quick] [--json FILE]

``build_seconds`` is the time to render and write every page from the standings, ``index_bytes`` the index's size.
``interactive_ms`` runs from the beginning of the navigation until the page's script is done, its first frame is painted and a
click on a heading has sorted all models and painted the result; ``ready_ms`` is the part before the click, ``sort_ms`` the
click alone. Medians of nine visits to the page as a file. Chromium is named by ETYMON_TEST_CHROMIUM (default
/usr/bin/chromium); Playwright's client is a development dependency.
"""

import datetime
import os
import random
import tempfile
import time
from pathlib import Path

from common import finish, median, options
from etymon.board.pages.site import write_pages
from etymon.board.standings import Appearance, Cell, Change, Column, Dependence, Rank, Row, Score, Standings

MODELS, TASKS, BASES, VISITS = 1000, 20, 8, 9
CHROMIUM = os.environ.get("ETYMON_TEST_CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"


def synthetic(models: int, tasks: int) -> Standings:
    """Standings with everything a page shows; the figures mean nothing."""
    draw = random.Random(0)
    columns = tuple(
        Column(
            key=f"task{t}",
            task=f"task_{t:02d}",
            identity=f"{t:064x}",
            metric="acc",
            main=True,
            higher_is_better=True,
            binary=True,
            notes=(),
        )
        for t in range(tasks)
    )
    rows = [_row(draw, number, columns) for number in range(models)]
    rows.sort(key=lambda row: -row.cells["task0"].score.value)
    return Standings(
        title="A thousand models",
        level=0.95,
        order="Ordered by task_00 (accuracy), highest first; models without it come last.",
        columns=columns,
        rows=tuple(rows),
        appearances=_appearances(rows, columns),
        dependences=tuple(_dependence(rows, base) for base in range(BASES)),
        notes=(),
    )


def _row(draw: random.Random, number: int, columns: tuple[Column, ...]) -> Row:
    base = f"base-{number % BASES}" if number >= BASES else None
    return Row(
        name=f"base-{number}" if base is None else f"organisation-{number % 37}/model-{number:04d}-instruct",
        digest=f"{draw.getrandbits(256):064x}",
        derived_from=base,
        relation="finetune" if base else None,
        is_baseline=False,
        parameters=draw.choice([135_000_000, 1_240_000_000, 7_240_000_000, 13_000_000_000, 70_600_000_000]),
        tokens_trained=draw.randrange(10**6, 10**11) if base else None,
        license=draw.choice(["Apache-2.0", "MIT", "Llama-3.1", None]),
        lineage=None,
        control=None,
        seeds=1,
        method=draw.choice(["full", "lora"]) if base else None,
        training_flop=10 ** draw.uniform(15, 22) if base else None,
        released=datetime.date(2025, 1, 1) + datetime.timedelta(days=draw.randrange(600)),
        cells={column.key: _cell(draw, base) for column in columns},
    )


def _cell(draw: random.Random, base: str | None) -> Cell:
    value, moved = draw.uniform(0.3, 0.7), draw.gauss(0.02, 0.02)
    change = Change(
        base=base or "",
        inherited=value - moved,
        difference=Score(value=moved, stderr=0.01, low=moved - 0.02, high=moved + 0.02),
        p_value=0.03,
        p_adjusted=0.2,
        verdict=draw.choice(["better", "worse", "unclear"]),
        method="mcnemar",
        kept=400,
        gained=31,
        lost=12,
        neither=557,
        gained_items=tuple(f"item-{draw.randrange(1000):04d}" for _ in range(31)),
        lost_items=tuple(f"item-{draw.randrange(1000):04d}" for _ in range(12)),
        detectable=0.03,
    )
    return Cell(
        score=Score(value=value, stderr=0.015, low=value - 0.03, high=value + 0.03),
        training=None,
        rank=Rank(best=draw.randrange(1, 400), worst=draw.randrange(400, 1000), of=1000),
        items=1000,
        clusters=1000,
        change=change if base else None,
        earned=None,
        earned_lacks="a control and three seeds (1 so far)" if base else None,
        notes=(),
    )


def _appearances(rows: list[Row], columns: tuple[Column, ...]) -> tuple[Appearance, ...]:
    found = []
    for column in columns:
        leader, most = "", 0.0
        for row in sorted(rows, key=lambda row: row.released or datetime.date.min):
            score = row.cells[column.key].score.value
            leader, most = (row.name, score) if score > most else (leader, most)
            assert row.released
            behind = most - score
            found.append(Appearance(date=row.released, model=row.name, column=column.key, leader=leader, behind=behind))
    return tuple(found)


def _dependence(rows: list[Row], base: int) -> Dependence:
    models = tuple(row.name for row in rows if row.derived_from == f"base-{base}")
    return Dependence(base=f"base-{base}", models=models, share=len(models) / len(rows))


def visit(index: Path, visits: int) -> dict[str, float]:
    """Milliseconds in the browser, medians over visits in contexts of their own."""
    from playwright.sync_api import sync_playwright

    ready, sort = [], []
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for _ in range(visits):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            page.goto(index.as_uri())
            ready.append(
                page.evaluate(
                    f"{PAINTED}.then(() => performance.getEntriesByType('paint').concat("
                    "performance.getEntriesByName('ready')).reduce((m, e) => Math.max(m, e.startTime), 0))"
                )
            )
            before = page.locator("tbody tr").first.inner_text()
            sort.append(
                page.evaluate(
                    "() => { const begun = performance.now(); document.querySelectorAll('thead button')[2].click(); "
                    f"return {PAINTED}.then(now => now - begun) }}"
                )
            )
            assert page.locator("tbody tr").first.inner_text() != before, "the click must have sorted"
            context.close()
        browser.close()
    both = [first + second for first, second in zip(ready, sort, strict=True)]
    return {"interactive_ms": median(both), "ready_ms": median(ready), "sort_ms": median(sort)}


def main() -> None:
    arguments = options(__doc__ or "").parse_args()
    standings = synthetic(MODELS, TASKS)
    with tempfile.TemporaryDirectory(prefix="etymon-board-") as folder:
        begun = time.perf_counter()
        write_pages(standings, Path(folder))
        seconds = time.perf_counter() - begun
        index = Path(folder) / "index.html"
        total = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        figures = {"models": MODELS, "tasks": TASKS, "build_seconds": round(seconds, 2), "index_bytes": index.stat().st_size}
        figures["all_bytes"] = total
        figures |= {name: round(value) for name, value in visit(index, 3 if arguments.quick else VISITS).items()}
    rows = [("", "measured"), *((name, f"{value:,}") for name, value in figures.items())]
    finish(figures, rows, arguments.json)


if __name__ == "__main__":
    main()
