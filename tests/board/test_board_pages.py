"""The pages in a real browser: they sort, filter, keep to themselves, and are safe and readable everywhere."""

import datetime
import re
from pathlib import Path

import numpy as np
import pytest
from board_records import BASE, DERIVATIVE, SCRATCH, quickstart_meaning, read_all, write_evaluation, write_quickstart

from etymon.board.assemble import assemble_standings
from etymon.board.entries import Aggregate, BoardMeaning, BoardTask, Entry, LineageLine
from etymon.board.flags import Flag, Step
from etymon.board.pages.index import ROWS
from etymon.board.pages.looks import Scale, column_scale
from etymon.board.pages.names import model_pages
from etymon.board.pages.site import board_pages, write_pages

HOSTILE = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    line = LineageLine(verdict="inconclusive", parent=HOSTILE, summary=HOSTILE, reasons=(HOSTILE,))
    hostile = Entry(
        name=HOSTILE, digest=HOSTILE, parameters=7_000_000_000, derived_from=HOSTILE, license=HOSTILE, lineage=line
    )
    meaning = quickstart_meaning(hostile)
    standings = assemble_standings(meaning, read_all(meaning, write_quickstart(folder / "records")))
    (folder / "board").mkdir()
    write_pages(standings, folder / "board")
    return folder / "board" / "index.html"


@pytest.fixture
def visit(open_file, page_file):
    """Opens the index, or another page; at the end nothing may have been requested, logged or thrown."""

    def visit_page(width=1280, file=page_file, **options):
        return open_file(file, width, **options)

    return visit_page


def names(page):
    return page.locator("tbody th bdi:first-child").filter(visible=True).locator("xpath=self::*[parent::a]").all_inner_texts()


def test_it_is_sorted_at_first_and_sorts_by_every_heading(visit):
    page = visit()
    assert names(page) == [DERIVATIVE, BASE, SCRATCH, HOSTILE]
    page.get_by_role("button", name="Tokens").click()
    assert names(page) == [DERIVATIVE, SCRATCH, BASE, HOSTILE], "ties keep their order; what is not known comes last"
    page.get_by_role("button", name="Size").click()
    assert names(page)[-1] == HOSTILE
    page.get_by_role("button", name="Size").click()
    assert names(page)[0] == HOSTILE
    assert page.locator("th[aria-sort]").count() == 1
    assert page.locator("th[aria-sort=descending]").inner_text() == "Size"
    assert "size, highest first" in page.locator("caption").inner_text()


def test_it_sorts_by_keyboard_and_the_missing_stay_last(visit):
    page = visit()
    score = page.get_by_role("button", name="Score").first
    score.focus()
    assert score.evaluate("e => getComputedStyle(e).outlineStyle") == "solid", "focus is visible"
    page.keyboard.press("Enter")
    assert names(page) == [SCRATCH, BASE, DERIVATIVE, HOSTILE]
    page.keyboard.press("Space")
    assert names(page) == [DERIVATIVE, BASE, SCRATCH, HOSTILE]


def test_it_searches_and_says_how_many(visit):
    page = visit()
    assert page.locator("#count").inner_text() == "4 models"
    page.get_by_role("searchbox").fill("FROM smollm2")
    assert names(page) == [DERIVATIVE]
    assert page.locator("#count").inner_text() == "1 of 4 models"
    page.get_by_role("searchbox").fill("psf related")
    assert names(page) == [DERIVATIVE]
    page.get_by_role("searchbox").fill("no such model")
    assert page.locator("#nothing").is_visible()
    page.get_by_role("searchbox").fill("")
    assert len(names(page)) == 4


def test_a_name_leads_to_the_models_page_and_back(visit):
    page = visit()
    page.get_by_role("link", name=DERIVATIVE, exact=True).click()
    text = page.locator("main").inner_text()
    for part in ("kept 70", "gained 12", "lost 4", "neither 196", "exact McNemar", "not measured", "272 of 272", "d2d2d2"):
        assert part in text
    page.get_by_text("Items gained (12)").click()
    assert len(page.locator(".items[open] pre").inner_text().splitlines()) == 12
    page.get_by_role("link", name=BASE).click()
    assert page.locator("h1").inner_text() == BASE
    assert DERIVATIVE in page.locator(".family").inner_text(), "the base names its child"
    page.locator("header a").click()
    assert len(names(page)) == 4


def test_a_hostile_name_is_only_text(visit):
    page = visit()
    assert page.title() == f"{DERIVATIVE} · standings"
    page.get_by_role("button", name="Model").click()  # now the script has made the rows
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    assert HOSTILE in names(page)
    page.get_by_role("link", name=HOSTILE).click()
    assert page.title() == f"{HOSTILE} · {DERIVATIVE}"
    assert page.locator("img, script").count() == 0
    assert page.locator("h1").inner_text() == HOSTILE
    assert HOSTILE in page.locator("main").inner_text()


def test_names_and_digests_never_become_paths():
    entries = [
        Entry(name=name, digest=digest, parameters=1)
        for name, digest in [
            ("../../etc/passwd", "../../../x"),
            ("a", "ab" * 32),
            ("b", "ab" * 32),
            ("c", "cd" * 32),
            ("CON", "AB" * 32),
        ]
    ]
    pages = model_pages(assemble_standings(BoardMeaning(title="t", entries=tuple(entries)), {}))
    assert pages["c"] == "models/cdcdcdcdcdcd.html"
    assert len({*pages.values()}) == 5
    assert all(re.fullmatch(r"models/[0-9a-f]+\.html", page) for page in pages.values())


def test_the_policy_stops_what_is_not_the_pages_own(browser, page_file):
    context = browser.new_context()
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.evaluate(
        """() => { const s = document.createElement('script'); s.textContent = "document.title = 'owned'";
        document.body.append(s); const i = new Image(); i.src = 'https://example.invalid/x.png'; document.body.append(i);
        document.body.setAttribute('style', 'display: none'); }"""
    )
    assert page.title() != "owned"
    assert page.locator("body").is_visible()
    context.close()


@pytest.mark.parametrize("width", [320, 390, 800, 1280])
@pytest.mark.parametrize("name", ["index.html", "pictures.html", "models/d2d2d2d2d2d2.html"])
def test_no_page_is_wider_than_the_window(visit, page_file, width, name):
    page = visit(width, page_file.parent / name)
    for details in page.locator("details").all():
        details.evaluate("e => { e.open = true }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_phone_gets_cards_and_a_way_to_sort(visit):
    page = visit(390, is_mobile=True, has_touch=True)
    assert page.evaluate("document.querySelector('.frame').scrollWidth") <= 390
    page.get_by_label("Sort by").select_option("heldout: change from base")
    assert names(page)[0] == DERIVATIVE
    page.get_by_label("Sort by").select_option("model")
    assert names(page)[-1] == BASE
    label = page.locator("tbody td.licence").first.evaluate("e => getComputedStyle(e, '::before').content")
    assert label == '"Licence"'


@pytest.fixture(scope="module")
def large_file(tmp_path_factory) -> Path:
    """More models than a page of the table, more tasks than are shown at first."""
    folder = tmp_path_factory.mktemp("large")
    random = np.random.default_rng(0)
    tasks = [f"task{number}" for number in range(8)]
    step = Step(date=datetime.date(2026, 1, 1), state="open")
    folders, entries = {}, []
    for number in range(ROWS + 30):
        roles = tuple(f"{number}/{task}" for task in tasks[: 8 if number < 3 else 1])
        for role, task in zip(roles, tasks, strict=False):
            answers = random.uniform(size=20) < 0.2 + 0.005 * number
            folders[role] = write_evaluation(folder / role.replace("/", "-"), task, {"acc": (True, answers, None)})
        name = f"model-{number}"
        flag = Flag(model=name, other="model-0", ground="neurons", effect=0.5, p_value=0.001, pairs=9, steps=(step,))
        entries.append(
            Entry(
                name=name,
                digest=f"{number:064x}",
                parameters=135_000_000 if number % 2 else 7_000_000_000,
                license="MIT" if number % 3 else "Apache-2.0",
                method="lora" if number % 5 == 0 else "full",
                derived_from="model-0" if number in (1, 2) else None,
                released=datetime.date(2026, 1, 1) + datetime.timedelta(days=number) if number < 100 else None,
                flags=(flag,) if number == 7 else (),
                evaluations=roles,
            )
        )
    meaning = BoardMeaning(title="large", entries=tuple(entries))
    standings = assemble_standings(meaning, read_all(meaning, folders))
    (folder / "board").mkdir()
    write_pages(standings, folder / "board")
    return folder / "board" / "index.html"


def count(page) -> str:
    return page.locator("#count").inner_text()


def test_it_filters_by_size_licence_base_method_date_and_flags(visit, large_file):
    page = visit(file=large_file)
    assert count(page) == "130 models"
    page.get_by_text("Filter", exact=True).click()
    for field, value, left in [
        ("size", "under 1B", 65),
        ("license", "Apache-2.0", 44),
        ("parent", "model-0", 2),
        ("method", "lora", 26),
        ("flags", "hide flagged", 129),
        ("flags", "flagged only", 1),
    ]:
        page.locator(f"#{field}").select_option(label=value)
        assert count(page) == f"{left} of 130 models", field
        page.get_by_role("button", name="Clear").click()
        assert count(page) == "130 models"
    page.locator("#from").fill("2026-03-01")
    assert count(page) == "41 of 130 models"
    page.locator("#to").fill("2026-03-02")
    assert count(page) == "2 of 130 models"
    page.locator("#license").select_option("MIT")
    assert names(page) == ["model-59"], "filters add up"
    assert not page.locator("#lineage").is_visible(), "there is nothing to choose from"


def test_tasks_are_chosen(visit, large_file):
    page = visit(file=large_file)
    heads = page.locator("thead th.task").filter(visible=True)
    assert heads.count() == 6
    page.get_by_text("Tasks 6 of 8").click()
    page.get_by_role("checkbox", name="task7").check()
    page.get_by_role("checkbox", name="task1").uncheck()
    assert [text.split()[0] for text in heads.all_inner_texts()] == ["task0", "task2", "task3", "task4", "task5", "task7"]
    page.locator("th[data-name='task7: score'] button").click()
    assert set(names(page)[:3]) == {"model-0", "model-1", "model-2"}, "those without the task come last"
    widths = {row.locator("> *").count() for row in page.locator("tbody tr").all()[:5]}
    assert widths == {1 + 2 * 6 + 6}


def aggregate_board(folder: Path, tasks: list[str]) -> Path:
    """The index of two models on tasks that are all in a declared aggregate."""
    folders = {
        f"{model}/{task}": write_evaluation(folder / f"{model}-{task}", task, {"acc": (True, answers, None)})
        for model, answers in (("a", [0, 1, 1, 1]), ("b", [1, 0, 0, 1]))
        for task in tasks
    }
    entries = tuple(
        Entry(name=model, digest=model, parameters=1, evaluations=tuple(f"{model}/{task}" for task in tasks))
        for model in "ab"
    )
    declared = tuple(BoardTask(task=task, identity=f"{sum(map(ord, task)):064x}", chance=0.25) for task in tasks)
    meaning = BoardMeaning(title="t", entries=entries, tasks=declared, aggregate=Aggregate(tasks=tuple(tasks)))
    (folder / "board").mkdir()
    write_pages(assemble_standings(meaning, read_all(meaning, folders)), folder / "board")
    return folder / "board" / "index.html"


def test_the_overall_figure_is_not_counted_among_the_tasks(visit, tmp_path):
    page = visit(file=aggregate_board(tmp_path, ["one", "two"]))
    assert page.locator("thead th.task").filter(visible=True).count() == 3
    assert page.get_by_text("Tasks 2 of 2").is_visible()


def test_nor_is_it_counted_without_javascript(tmp_path):
    text = aggregate_board(tmp_path, [f"task-{number}" for number in range(8)]).read_text("utf-8")
    assert "the table shows 5 of 8 tasks. The others, on each model’s page: task-5, task-6, task-7." in text


def test_the_table_has_pages_and_an_order_goes_over_all(visit, large_file):
    page = visit(file=large_file)
    assert len(names(page)) == ROWS
    first = names(page)
    page.get_by_role("button", name="Next").click()
    assert len(names(page)) == 30
    assert page.locator("#place").inner_text() == "101 to 130 of 130"
    assert not set(first) & set(names(page))
    page.get_by_role("button", name="Model").click()
    assert names(page)[:3] == ["model-0", "model-1", "model-2"], "a new order begins at its first page"
    page.get_by_role("button", name="Date").click()
    assert names(page)[0] == "model-99"


def contrast(first: str, second: str) -> float:
    """WCAG 2.2 contrast ratio of two ``rgb(r, g, b)`` colours."""

    def luminance(colour: str) -> float:
        channels = np.array([int(c) / 255 for c in re.findall(r"\d+", colour)[:3]])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_light_and_dark_differ_and_both_are_legible(visit):
    grounds = set()
    for scheme in ("light", "dark"):
        page = visit(color_scheme=scheme)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        grounds.add(ground)
        surface = page.evaluate("getComputedStyle(document.querySelector('.frame')).backgroundColor")
        for place in ("h1", "tbody .figure", "tbody .quiet", ".verdict.better", "footer a", ".legend dd", "thead .hint"):
            colour = page.locator(place).first.evaluate("e => getComputedStyle(e).color")
            assert contrast(colour, ground) >= 4.5, (scheme, place)
            assert contrast(colour, surface) >= 4.5, (scheme, place)
    assert len(grounds) == 2


def test_it_reads_without_javascript(browser, page_file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert names(page) == [DERIVATIVE, BASE, SCRATCH, HOSTILE]
    assert not page.locator(".tools").is_visible()
    assert page.locator("thead button").count() == 0
    context.close()


def test_the_script_makes_the_rows_that_the_page_came_with(visit, page_file):
    page = visit()
    made = "[...document.querySelectorAll('tbody tr')].map(e => e.outerHTML.replace(/>\\s+/g, '>').replace(/\\s+</g, '<'))"
    before = page.evaluate(made)
    page.get_by_role("searchbox").fill("x")
    page.get_by_role("searchbox").fill("")
    assert page.evaluate(made) == before


def test_the_pages_name_no_other_host(page_file):
    pages = list(page_file.parent.rglob("*.html"))
    assert len(pages) == 6
    for page in pages:
        text = page.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert set(re.findall(r"(?:https?:)?//[\w.]+\.[\w.]+", text)) == set()
        assert "default-src &#39;none&#39;" in text
        assert "unsafe-inline" not in text


def test_a_board_without_any_score_is_a_page_too():
    meaning = BoardMeaning(title="empty", entries=(Entry(name="m", digest="0", parameters=1),))
    pages = dict(board_pages(assemble_standings(meaning, {})))
    assert "nothing was scored" in pages["index.html"]
    assert "Nothing was scored" in pages["pictures.html"]


def test_a_far_baseline_does_not_stretch_the_strip(tmp_path):
    meaning = quickstart_meaning()
    standings = assemble_standings(meaning, read_all(meaning, write_quickstart(tmp_path)))
    column = standings.columns[0]
    scale = column_scale(standings, column)
    assert scale.high < 2
    bars = {row.name: scale.cell(row.cells[column.key]) for row in standings.rows}
    assert (bars[SCRATCH].beyond, bars[BASE].beyond) == ("right", "")
    assert bars[DERIVATIVE].base == bars[BASE].point


def test_a_scale_of_one_value_still_has_a_middle(tmp_path):
    folder = write_evaluation(tmp_path / "e", "t", {"f1": (True, [0.4], None)})
    meaning = BoardMeaning(title="t", entries=(Entry(name="m", digest="0", parameters=1, evaluations=("e",)),))
    standings = assemble_standings(meaning, read_all(meaning, {"e": folder}))
    assert column_scale(standings, standings.columns[0]) == Scale(-0.09999999999999998, 0.9)
    assert "0.4" in dict(board_pages(standings))["index.html"]
