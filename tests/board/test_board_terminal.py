"""The terminal shows the same figures at any width, and no name steers it."""

import io

import pytest
from board_records import quickstart_meaning, read_all, write_quickstart
from rich.console import Console

from etymon.board.assemble import assemble_standings
from etymon.board.entries import Entry
from etymon.board.terminal import terminal_standings
from etymon.board.words import Figures, count_in_words, p_in_words


@pytest.fixture(scope="module")
def standings(tmp_path_factory):
    hostile = Entry(name="[red]x[/red]\x1b[31m\u202egpj", digest="0", derived_from="y", parameters=5)
    meaning = quickstart_meaning(hostile)
    return assemble_standings(meaning, read_all(meaning, write_quickstart(tmp_path_factory.mktemp("records"))))


def shown(standings, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(terminal_standings(standings, width))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 100, 160])
def test_every_figure_is_there_and_no_line_is_too_long(standings, width):
    text = shown(standings, width)
    assert max(map(len, text.splitlines())) <= width
    together = " ".join(text.split())
    for figure in ("1.100", "1.033 to 1.168", "−0.206", "−0.232 to −0.179", "clearly better", "29.1%", "rank 1 of 3"):
        assert figure in together
    for figure in ("gained 12 · lost 4 of 282", "logprob right", "40,000 tokens", "135M", "PSF-2.0", "related (p < 0.001)"):
        assert figure in together
    assert "not measured" in together


def test_a_hundred_columns_hold_the_table_of_two_tasks(standings):
    heading = next(line for line in shown(standings, 100).splitlines() if "heldout" in line)
    assert "mmlu_dev" in heading


def test_a_hostile_name_is_only_text(standings):
    text = shown(standings, 100)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]x[/red]" in text
    assert text.count("—") >= 2, "what was not measured is a dash"


def test_figures_in_words():
    share, bits = Figures(True, 1), Figures(False, 3)
    assert (share.score(0.2585), share.change(-0.0071)) == ("25.9%", "−0.7 pp")
    assert (bits.change(0.2), bits.change(-0.00001)) == ("+0.200", "0.000")
    assert [count_in_words(n) for n in (None, 0, 40_000, 999_999, 134_515_008, 1_700_000_000)] == [
        "—",
        "0",
        "40,000",
        "1M",
        "135M",
        "1.7B",
    ]
    assert [p_in_words(p) for p in (0.0004, 0.0123, 0.5, 1.0)] == ["p < 0.001", "p = 0.012", "p = 0.50", "p = 1.00"]
