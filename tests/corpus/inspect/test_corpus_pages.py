"""The page of a corpus in a real browser, and the same on the terminal."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from etymon.corpus.inspect.inspection import Inspection, inspect
from etymon.corpus.inspect.opened import OpenCorpus
from etymon.corpus.inspect.redecide import redecide
from etymon.corpus.inspect.show.figures import figure, share
from etymon.corpus.inspect.show.page import corpus_page, lines, visible
from etymon.corpus.inspect.show.terminal import terminal_answer, terminal_inspection, terminal_redecision
from etymon.corpus.inspect.why import why
from etymon.corpus.policy.load import load_policy
from etymon.pictures.page import write_page


@pytest.fixture(scope="module")
def inspection(opened: OpenCorpus, made: Path) -> Inspection:
    (made / "harder.yaml").write_text("name: <b>harder</b>\nrules:\n - {reason: brief, signal: words, below: 203}\n", "utf-8")
    again = redecide(opened, load_policy("harder.yaml", made))
    return inspect(opened).model_copy(update={"redecision": again})


@pytest.fixture(scope="module")
def corpus_file(inspection: Inspection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "corpus.html"
    write_page(corpus_page(inspection), path)
    return path


def test_the_page_tells_every_reason_and_hurts_nobody(open_file, corpus_file: Path, opened: OpenCorpus) -> None:
    page = open_file(corpus_file)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    text = page.locator("body").inner_text()
    for reason in opened.corpus.facts["drops"]:
        assert reason.replace("_", " ") in text
    assert "<script>owned()</script> \ufffdgnp.exe" in text
    assert page.title() == f"Corpus {opened.corpus.name}"
    assert page.locator("main img, main script").count() == 0
    assert "<b>harder</b>" in text
    assert "jane" not in text
    assert page.locator("del").count() > 0
    assert page.locator("path.threshold").count() > 0


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(open_file, corpus_file: Path, width: int) -> None:
    page = open_file(corpus_file, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_is_light_or_dark(open_file, corpus_file: Path) -> None:
    grounds = {
        open_file(corpus_file, color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert len(grounds) == 2


def test_the_page_names_no_other_host(corpus_file: Path) -> None:
    text = corpus_file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(?:src|href)=\"?https?://|url\(|@import|style=", text)


def test_bars_get_shorter_by_what_is_dropped(open_file, corpus_file: Path) -> None:
    page = open_file(corpus_file)
    widths = page.evaluate(
        "[...document.querySelectorAll('.funnel rect.kept')].map(each => parseFloat(each.getAttribute('width')))"
    )
    *path, _, _ = widths
    assert path[0] == 100
    assert path == sorted(path, reverse=True)


def test_the_terminal_shows_it_all_without_control_characters(inspection: Inspection, opened: OpenCorpus) -> None:
    console = Console(width=100, record=True, color_system=None, force_terminal=False, file=open("/dev/null", "w"))  # noqa: SIM115
    assert inspection.redecision
    console.print(terminal_inspection(inspection))
    console.print(terminal_redecision(inspection.redecision))
    for name in ("hostile short.txt", "again.txt", "note-03.txt", "leak.txt", "letter.txt", "broken.pdf"):
        console.print(terminal_answer(why(opened, name)))
    text = console.export_text()
    assert all(character.isprintable() or character == "\n" for character in text)
    for part in ("could not be read", "broken.pdf", "for training", "held out", "not in the mixture", "as diverse as"):
        assert part in text
    for part in ("Kept in its place", "Dropped for it", "13 words with lamps/1", "1 email; masked", "break no rule"):
        assert part in text


def test_figures_are_never_rounded_to_nothing_or_all() -> None:
    assert share(1, 1_000_000) == "<0.1%"
    assert share(999_999, 1_000_000) == ">99.9%"
    assert share(0, 7) == share(0, 0) == "0%"
    assert share(7, 7) == "100%"
    assert (figure(12345), figure(0.12345), figure(1234.5)) == ("12,345", "0.123", "1,234")


def test_characters_that_are_not_seen_are_named_or_replaced() -> None:
    assert visible("a\u200bb\n\u202e") == "a⟨U+200B⟩b⏎⟨U+202E⟩"
    assert lines("a\n\x1b[31m\u202eb") == "a\n\ufffd[31m\ufffdb"
