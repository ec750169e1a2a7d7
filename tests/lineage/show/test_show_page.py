"""The pages of lineage and family in a real browser, and their pictures as values."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from lineage_records import agreement_test, changes_of, record

from etymon.errors import EtymonError
from etymon.lineage.family import Family, family_of
from etymon.lineage.screened import adjust
from etymon.lineage.show.changes import layer_pictures, rank_picture, spectrum_picture
from etymon.lineage.show.family import draw, family_page
from etymon.lineage.show.matches import agreement_picture, p_picture
from etymon.lineage.show.page import lineage_page, map_in_words
from etymon.lineage.verdict import TensorChange
from etymon.pictures.page import write_page

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def some_family() -> Family:
    lineages = [
        record(model="tuned", parent="base", p_value=1e-6),
        record(model="rounded", parent="tuned", p_value=1e-6, direction="model from parent", changes=changes_of(0.001)),
        record(model="rounded", parent="base", p_value=1e-6),
        record(model=HOSTILE, parent="base", p_value=0.4, verdict="independent", changes=()),
        record(model=HOSTILE, parent="tuned", p_value=0.6, verdict="independent", changes=()),
        record(model=HOSTILE, parent="rounded", p_value=0.5, verdict="inconclusive", changes=()),
    ]
    return family_of(lineages, ["base", "tuned", "rounded", HOSTILE])


@pytest.fixture(scope="module")
def lineage_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = [record(), record(parent=HOSTILE, verdict="independent", p_value=0.5, changes=(), change_by_role={})]
    path = tmp_path_factory.mktemp("lineage") / "lineage.html"
    write_page(lineage_page("child", adjust(pairs), ["merge: child is made of two."]), path)
    return path


@pytest.fixture(scope="module")
def family_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("family") / "family.html"
    write_page(family_page(some_family()), path)
    return path


def test_the_page_says_it_all(open_file, lineage_file: Path) -> None:
    page = open_file(lineage_file)
    text = page.locator("body").inner_text()
    for part in (
        "Related",
        "Independent",
        "Why",
        "after allowing for 2 pairs",
        "It decides nothing.",
        "Limits",
        "Also found",
    ):
        assert part in text
    assert page.title() == "Lineage of child"
    assert page.locator("img, script").count() == 0
    charts = page.locator("figure.chart")
    assert charts.count() == 2 + 2 + 2 + 1, "two tests of two pictures, attention, MLPs, the spectrum; no norm changed"
    assert charts.locator("svg[role=img]").count() == charts.locator("table").count() == charts.count()
    page.get_by_text("The same as a table").first.click()
    assert page.locator("details[open] td").first.inner_text() == "0"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_no_page_is_wider_than_a_phone(open_file, lineage_file: Path, family_file: Path, width: int) -> None:
    for file in (lineage_file, family_file):
        page = open_file(file, width)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_light_and_dark_differ(open_file, lineage_file: Path) -> None:
    grounds = {
        open_file(lineage_file, color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert len(grounds) == 2


def test_the_family_is_drawn_and_told(open_file, family_file: Path) -> None:
    page = open_file(family_file, java_script_enabled=False)
    assert page.locator("svg.kin .name").all_text_contents() == ["tuned", "base", "rounded"]
    assert page.locator("svg.kin .tie.derived").count() == 1
    assert page.locator("img").count() == 0
    text = page.locator("main").inner_text()
    assert HOSTILE in text
    assert "6 pairs were compared" in text
    assert "Not settled by the weights: rounded and" in text


def test_the_pages_name_no_other_host(lineage_file: Path, family_file: Path) -> None:
    for file in (lineage_file, family_file):
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|url\(|@import|style=", text)


def test_a_page_takes_the_place_of_a_page_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_page(lineage_page("x", [record()]), page)
    write_page(lineage_page("x", []), page)
    assert page.read_text("utf-8").count("<article") == 0
    (tmp_path / "mine.html").write_text("my notes", "utf-8")
    with pytest.raises(EtymonError, match="no page of Etymon"):
        write_page("", tmp_path / "mine.html")
    with pytest.raises(EtymonError, match="is a folder"):
        write_page("", tmp_path)
    with pytest.raises(EtymonError, match="there is no folder"):
        write_page("", tmp_path / "no" / "page.html")
    with pytest.raises(UnicodeEncodeError):
        write_page("half a page, then \ud800", page)
    assert {each.name for each in tmp_path.iterdir()} == {"page.html", "mine.html"}
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_every_cell_of_the_heat_map_is_in_one_shade_and_in_the_table() -> None:
    picture = agreement_picture(agreement_test(0.3, 1e-4))
    assert picture
    assert sum(path.count("M") for path in picture.areas.values()) == 81
    assert picture.areas["level-5"].count("M") == 9
    assert picture.table[2][3] == "30%"
    assert picture.table[2][1] == "2%"


def test_the_decoys_floor_is_drawn_where_the_layers_lie() -> None:
    picture = p_picture(agreement_test(1.0, 1e-4))
    assert picture
    floor = picture.lines["floor"].removeprefix("M0 ").removesuffix("H100")
    assert picture.dots["beyond"].count(f" {floor}h0") == 9


def test_models_without_any_figures_have_no_pictures() -> None:
    assert not layer_pictures(record(changes=()))
    assert spectrum_picture(record(changes=())) is None
    assert rank_picture(record()) is None


def test_ranks_are_counted() -> None:
    ranked = tuple(each.model_copy(update={"rank": 16}) for each in changes_of(0.1) if each.role == "q")
    picture = rank_picture(record(changes=ranked))
    assert picture
    assert picture.table == (("16", "9"),)


@given(some.lists(some.floats(0, 3), min_size=1, max_size=40))
def test_every_tensor_is_in_the_spectrum(relative: list[float]) -> None:
    changes = tuple(
        TensorChange(role="q", layer=layer, tensor=f"{layer}", parameters=4, relative=value, canonical=False)
        for layer, value in enumerate(relative)
    )
    picture = spectrum_picture(record(changes=changes))
    assert picture
    assert sum(int(count) for _, count in picture.table) == len(relative)
    assert all(-0.5 <= tick.at <= 100.5 for tick in (*picture.x_ticks, *picture.y_ticks))
    for shown in layer_pictures(record(changes=changes)):
        assert all(0 <= float(value) <= 100 for value in re.findall(r"-?[\d.]+(?:e-?\d+)?", shown.lines["role-0"]))


def test_the_layer_map_is_told_in_runs() -> None:
    assert map_in_words(()) == ""
    assert map_in_words([(layer, layer) for layer in range(30)]) == "0–29 → 0–29"
    assert map_in_words([(0, 0), (1, 1), (1, 2), (2, 3)]) == "0–1 → 0–1, 1–2 → 2–3"


def test_a_further_parent_is_a_curve_and_a_row_of_its_own() -> None:
    merged = [
        record(model="merge", parent="one", p_value=1e-6, direction="model from parent"),
        record(model="merge", parent="other", p_value=1e-6, direction="model from parent"),
        record(model="other", parent="one", p_value=0.5, verdict="independent", changes=()),
    ]
    (tree,) = family_of(merged, ["one", "other", "merge"]).trees
    drawing = draw(tree)
    assert [node.name for node in drawing.nodes] == ["one", "merge", "other"]
    assert drawing.lines["derived"].count("C") == 1
    assert drawing.heads.count("z") == 2
