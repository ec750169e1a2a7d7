"""What the pages say of dates, flags, families, trainings and contamination, and how they get into a folder of others."""

import datetime
import json
import re
from pathlib import Path

import pytest
from board_records import BASE, DERIVATIVE, quickstart_meaning, read_all, write_evaluation, write_quickstart

from etymon.board.assemble import assemble_standings
from etymon.board.entries import BoardMeaning, Contamination, Entry, Parent, Removed, Reuse
from etymon.board.flags import Flag, Step
from etymon.board.pages.compact import compact_columns, compact_rows, number, units
from etymon.board.pages.index import ROWS
from etymon.board.pages.looks import column_looks
from etymon.board.pages.names import model_pages
from etymon.board.pages.pictures import curve_picture, leader_picture, uplift_picture
from etymon.board.pages.site import board_pages, publish, write_pages
from etymon.board.standings import AggregateColumn, Overall, Rank, Score, Standings, TrainingRun
from etymon.board.trainings import read_training
from etymon.board.words import Figures
from etymon.errors import EtymonError


def day(number: int) -> datetime.date:
    return datetime.date(2026, 1, 1) + datetime.timedelta(days=number)


@pytest.fixture
def standings(tmp_path) -> Standings:
    meaning = quickstart_meaning()
    base, derivative, scratch = meaning.entries
    evaluations = read_all(meaning, write_quickstart(tmp_path / "records"))
    flag = Flag(
        model=DERIVATIVE,
        other="yi <b>",
        ground="neurons",
        effect=0.93,
        p_value=1e-9,
        p_adjusted=1e-6,
        pairs=630,
        steps=(
            Step(date=day(3), state="open"),
            Step(date=day(5), state="contested", text="we did declare it </li><script>"),
        ),
    )
    seen = Contamination(
        identity=evaluations[f"evaluation/{DERIVATIVE}/mmlu_dev"].identity,
        items=282,
        overlapping=5,
        clean_score=0.287,
        clean_low=0.23,
        clean_high=0.34,
        min_k=-0.4,
    )
    derivative = derivative.model_copy(
        update={
            "released": day(9),
            "training_flop": 3e13,
            "method": "lora",
            "flags": (flag,),
            "reuse": (Reuse(other=BASE, architecture=True, tokenizer=True),),
            "contamination": (seen,),
            "parents": (Parent(name=BASE), Parent(name="hf:someone/else", relation="merge")),
        }
    )
    base = base.model_copy(update={"released": day(2)})
    removed = (Removed(model="cheat", reason="trained on <the> test", date=day(20)),)
    meaning = meaning.model_copy(update={"entries": (base, derivative, scratch), "removed": removed})
    found = assemble_standings(meaning, evaluations)
    run = TrainingRun(settings={"method": "lora"}, losses=((10, 3.0), (20, 2.0), (30, 1.5)), validation=())
    rows = tuple(row.model_copy(update={"run": run}) if row.name == DERIVATIVE else row for row in found.rows)
    return found.model_copy(update={"rows": rows})


def page_of(standings: Standings, name: str) -> str:
    return dict(board_pages(standings))[model_pages(standings)[name]]


def text_of(page: str) -> str:
    body = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_a_models_page_shows_family_flag_training_and_what_was_seen(standings):
    page = page_of(standings, DERIVATIVE)
    text = text_of(page)
    for part in (
        "Declared base smollm2-135m-instruct-q4_1 finetune hf:someone/else merge",
        "Undeclared relation to yi &lt;b&gt; : contested",
        "93% of the sampled neurons agree",
        "2026-01-06 contested: we did declare it &lt;/li&gt;&lt;script&gt;",
        "Items in its data 5 of 282",
        "Score on the others 28.7% 23.0% to 34.0%",
        "Min-K%++ −0.400",
        "the architecture and the tokenizer of smollm2-135m-instruct-q4_1",
        "Loss over tokens From 3.000 at the first step to 1.500 at the last, over 30 tokens.",
        "Items gained (12)",
        "3e+13 FLOP",
        "Published 2026-01-10",
    ):
        assert part in text, part
    assert "<script" not in page
    assert f"Derived from it {DERIVATIVE}" in text_of(page_of(standings, BASE))


def test_the_index_shows_date_method_flag_contamination_and_what_was_removed(standings):
    text = text_of(dict(board_pages(standings))["index.html"])
    assert "undeclared relation to yi &lt;b&gt;: contested" in text
    assert "5 of 282 items in its data, 28.7% without them" in text
    assert "cheat , 2026-01-21: trained on &lt;the&gt; test" in text
    assert "2026-01-10" in text
    assert "lora" in text


def test_a_withdrawn_flag_is_shown_and_hidden_by_nothing(standings):
    looks, pages = column_looks(standings), model_pages(standings)
    flagged = {row["name"]: row["flagged"] for row in compact_rows(standings, looks, pages)}
    assert flagged[DERIVATIVE]
    row = next(row for row in standings.rows if row.name == DERIVATIVE)
    (flag,) = row.flags
    flag = flag.model_copy(update={"steps": (*flag.steps, Step(date=day(8), state="withdrawn", text="declared"))})
    changed = tuple(each.model_copy(update={"flags": (flag,)}) if each is row else each for each in standings.rows)
    found = compact_rows(standings.model_copy(update={"rows": changed}), looks, pages)
    (shown,) = [each for each in found if each["name"] == DERIVATIVE]
    assert not shown["flagged"]
    assert shown["flags"] == ["undeclared relation to yi <b>: withdrawn"]


def test_pictures_say_in_words_what_they_show(standings):
    column, look = standings.columns[0], column_looks(standings)[standings.columns[0].key]
    uplift = uplift_picture(standings, column, look)
    assert uplift is not None
    assert uplift.table[0][:2] == (DERIVATIVE, "3.00e+13")
    assert "1 of them clearly better" in uplift.in_words
    leader = leader_picture(standings, column, look)
    assert leader is not None
    assert "2026-01-03 to 2026-01-10" in leader.in_words
    assert leader.table[0][3] == "took or shared the lead"
    assert leader_picture(standings, standings.columns[-1].model_copy(update={"key": "none"}), look) is None
    assert curve_picture([(1, 2.0)], []) is None
    for picture in (uplift, leader):
        assert all(-1 <= tick.at <= 101 for tick in (*picture.x_ticks, *picture.y_ticks))


def test_figures_are_the_same_in_the_table_and_on_the_page(standings):
    """The compact table counts in last decimals; the pages write the exact score."""
    for figures in (Figures(True, 1), Figures(False, 2), Figures(False, 4)):
        for value in (0.0, -0.00004, 0.24949999, 0.25, 1.005, -3.14159, 123.456):
            written = figures.score(value).removesuffix("%")
            assert number(units(figures, value), figures.decimals) == written


def test_the_tables_order_is_that_of_the_exact_scores(standings):
    looks = column_looks(standings)
    rows = compact_rows(standings, looks, model_pages(standings))
    for place, column in enumerate(standings.main_columns):
        sign = -1 if column.higher_is_better else 1
        by_place = sorted(rows, key=lambda row: row["cells"][place][0])
        exact = sorted(standings.rows, key=lambda row: sign * row.cells[column.key].score.value)
        assert [row["name"] for row in by_place] == [row.name for row in exact]
    assert [column["name"] for column in compact_columns(standings, looks)] == ["heldout", "mmlu_dev"]


def test_an_overall_figure_stands_only_where_the_board_declares_one(standings):
    assert "Overall" not in text_of("".join(dict(board_pages(standings)).values()))
    aggregate = AggregateColumn(columns=(standings.columns[1].key,), in_words="Mean of <one> task.")
    score = Score(value=12.34, stderr=1.0, low=10.4, high=14.3)
    overall = Overall(score=score, rank=Rank(best=1, worst=2, of=3), tasks={standings.columns[1].key: 12.34})
    first, *others = standings.rows
    rows = (first.model_copy(update={"overall": overall}), *others)
    pages = dict(board_pages(standings.model_copy(update={"rows": rows, "aggregate": aggregate})))
    text = text_of(pages["index.html"])
    assert "Overall declared by this board" in text
    assert "12.3 10.4 to 14.3 rank 1–2 of 3" in text
    assert "the overall figure is this board’s own: Mean of &lt;one&gt; task." in text
    assert 'data-name="heldout: score" aria-sort="ascending"' in pages["index.html"]
    shown = text_of(pages[model_pages(standings)[first.name]])
    assert "Overall 12.3 10.4 to 14.3, rank 1–2 of 3; Mean of &lt;one&gt; task." in shown


def test_a_training_is_read_from_its_artifact(tmp_path):
    manifest = {
        "stage": "train", "stage_version": 2, "address": "ab" * 32, "inputs": {}, "execution": {}, "files": {},
        "meaning": {"settings": {"method": "lora", "lora": {"rank": 8}, "chat_template": None, "betas": [0.9, 0.95]}},
        "digest": "0" * 64, "environment": {}, "created": "2026-01-01T00:00:00+00:00", "seconds": 1.0,
    }  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    steps = [
        {"tokens": 100 * n, "loss": 4 - n / 1000, "extra": {"validation_loss": 3.0} if n == 7 else {}} for n in range(1000)
    ]
    steps[5]["loss"] = float("nan")
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    run = read_training(tmp_path)
    assert run.settings == {"method": "lora", "lora.rank": "8", "betas": "[0.9, 0.95]"}
    assert (run.losses[0], run.losses[-1], run.validation) == ((0, 4.0), (99_900, 3.001), ((700, 3.0),))
    assert len(run.losses) == 200
    assert list(run.losses) == sorted(run.losses)
    (tmp_path / "metrics.jsonl").write_text('{"tokens": "many", "loss": 1}\n')
    with pytest.raises(EtymonError, match="line 1 is no step"):
        read_training(tmp_path)


@pytest.fixture
def board(tmp_path) -> Path:
    meaning = BoardMeaning(title="t", entries=(Entry(name="m", digest="ab" * 32, parameters=1),))
    (tmp_path / "board").mkdir()
    write_pages(assemble_standings(meaning, {}), tmp_path / "board")
    return tmp_path / "board"


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_board_is_published_and_published_again(board, tmp_path):
    target = tmp_path / "www" / "here"
    assert publish(board, target) == target / "index.html"
    assert files(target) == {"index.html", "pictures.html", "standings.json", "models/abababababab.html"}
    (board / "models" / "abababababab.html").rename(board / "models" / "cd.html")
    (board / "index.html").write_text("new")
    publish(board, target)
    assert (target / "index.html").read_text() == "new"
    assert "models/abababababab.html" not in files(target), "a page of the old board does not stay"
    assert [path.name for path in target.parent.iterdir()] == ["here"], "nothing is left of the making"
    (tmp_path / "empty").mkdir()
    publish(board, tmp_path / "empty")


@pytest.mark.parametrize("strange", ["notes.txt", "models/x.txt", "models/sub/x.html"])
def test_a_folder_with_anything_else_is_left_alone(board, tmp_path, strange):
    target = tmp_path / "www"
    publish(board, target)
    (target / strange).parent.mkdir(exist_ok=True)
    (target / strange).write_text("mine")
    with pytest.raises(EtymonError, match="no page of a board"):
        publish(board, target)
    assert (target / strange).read_text() == "mine"


def test_a_folder_that_only_looks_like_pages_is_left_alone(board, tmp_path):
    target = tmp_path / "site"
    target.mkdir()
    (target / "index.html").write_text("my own site")
    with pytest.raises(EtymonError, match="no folder of a board's pages"):
        publish(board, target)
    assert (target / "index.html").read_text() == "my own site"
    (tmp_path / "file").write_text("")
    with pytest.raises(EtymonError, match="is a file"):
        publish(board, tmp_path / "file")


def test_a_board_that_cannot_be_copied_leaves_the_old_one(board, tmp_path):
    target = tmp_path / "www"
    publish(board, target)
    before = (target / "index.html").read_bytes()
    (board / "pictures.html").unlink()
    (board / "index.html").write_text("new")
    with pytest.raises(FileNotFoundError):
        publish(board, target)
    assert (target / "index.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["board", "www"]


def test_many_models_come_in_pages_and_none_is_missing_without_javascript(tmp_path):
    folder = write_evaluation(tmp_path / "e", "t", {"f1": (True, [0.4, 0.6], None)})
    entries = [Entry(name="m0", digest=f"{0:064x}", parameters=1, evaluations=("e",))]
    entries += [Entry(name=f"m{n}", digest=f"{n:064x}", parameters=1) for n in range(1, ROWS + 30)]
    meaning = BoardMeaning(title="t", entries=tuple(entries))
    standings = assemble_standings(meaning, read_all(meaning, {"e": folder}))
    index = dict(board_pages(standings))["index.html"]
    head, _, rest = index.partition("<noscript>")
    assert head.count('<tr role="row">') == ROWS + 2
    assert rest.partition("</noscript>")[0].count("<li>") == 30
