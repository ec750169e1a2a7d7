import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from store_stages import Pace, Words, words_stage

from etymon.errors import EtymonError
from etymon.store import Catalog, Config, Draft, Stage, Store


class Nothing(Config):
    """No settings."""


def _count(draft: Draft[Nothing, Nothing]) -> None:
    (draft.folder / "count").write_text(str(len(draft.inputs)))
    draft.facts |= {"scores": {"low": 0.1, "high": None}, "names": ["a", "ü"], "share": 1e-9, "not_a_number": float("nan")}


count_stage = Stage("count", 1, _count, Nothing, Nothing)


def fill(store: Store) -> None:
    """Two artifacts, one made of the other."""
    words, _ = store.obtain(words_stage, {}, Words(parts=3), Pace())
    store.obtain(count_stage, {"words": words}, Nothing(), Nothing())


def content(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            table: sorted((tuple(row) for row in connection.execute(text(f"SELECT * FROM {table}"))), key=repr)
            for table in ("artifact", "fact", "edge")
        }
    engine.dispose()
    return found


def check_catalog(root: Path, url: str) -> None:
    """What every database has to do."""
    store = Store(root, url)
    fill(store)
    words, count = store.catalog.rows("words")[0], store.catalog.rows("count")[0]
    assert [row.name for row in store.catalog.rows()] == [words.name, count.name], "newest last"
    assert store.catalog.facts(words.name) == {
        "parts": 3, "pair": [1, 2], "nothing": None, "text": "ß\N{GREEK SMALL LETTER PI}"
    }  # fmt: skip
    assert store.catalog.users_of(words.digest) == [count.name]
    before = content(url)
    assert len(before["artifact"]) == 2
    assert store.catalog.rebuild(store.artifacts()) == 2
    assert content(url) == before
    fill(Store(root, url))
    assert content(url) == before
    Catalog(url).remove(words.name)
    assert store.catalog.facts(words.name) == {}
    assert Store(root, url).catalog.rebuild(store.artifacts()) == 2
    assert content(url) == before


def test_sqlite(tmp_path: Path) -> None:
    check_catalog(tmp_path, f"sqlite:///{tmp_path}/other.db")


def test_a_lost_catalog_is_rebuilt_equal(tmp_path: Path) -> None:
    store, url = Store(tmp_path), f"sqlite:///{tmp_path}/catalog.db"
    fill(store)
    before = content(url)
    (tmp_path / "catalog.db").unlink()
    again = Store(tmp_path)
    assert again.catalog.rebuild(again.artifacts()) == 2
    assert content(url) == before


@pytest.mark.parametrize("intact", [0, 4096])
def test_a_damaged_catalog_is_told_with_its_remedy(tmp_path: Path, intact: int) -> None:
    """A file that is no database is met at its opening, one with a whole first page at a query."""
    store, url = Store(tmp_path), f"sqlite:///{tmp_path}/catalog.db"
    fill(store)
    before = content(url)
    path = tmp_path / "catalog.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:intact] + b"\xa5" * (len(whole) - intact))
    with pytest.raises(EtymonError, match=r"catalog\.db is damaged") as refused:
        Store(tmp_path).catalog.rows()
    assert "etymon rebuild-catalog" in refused.value.remedy
    path.unlink()
    again = Store(tmp_path)
    assert again.catalog.rebuild(again.artifacts()) == 2
    assert content(url) == before


def test_a_rebuild_that_fails_changes_nothing(tmp_path: Path) -> None:
    store, url = Store(tmp_path), f"sqlite:///{tmp_path}/catalog.db"
    fill(store)
    before = content(url)
    (next(store.artifacts()).folder / "manifest.json").write_text("{")
    with pytest.raises(EtymonError, match="is damaged"):
        store.catalog.rebuild(store.artifacts())
    assert content(url) == before


def test_many_may_open_a_new_catalog_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    program = (
        "import sys; from etymon.store import Catalog; print('ready', flush=True); sys.stdin.readline();"
        "print(len(Catalog(sys.argv[1]).rows()))"
    )
    command, pipe = [sys.executable, "-c", program, url], subprocess.PIPE
    children = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(8)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    printed = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0] * 8, printed


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nonsense", "nonsense cannot be opened"),
        ("oracle7://x", "cannot be opened"),
        ("sqlite:////no/such/folder/catalog.db", "cannot be opened"),
        ("postgresql+psycopg://someone:secret@127.0.0.1:1/nothing", r"someone:\*\*\*@127.0.0.1:1/nothing cannot be opened"),
        ("postgresql+pg8000://x", "needs the Python package pg8000"),
    ],
)
def test_a_catalog_that_cannot_be_opened_is_said_without_the_password(url: str, problem: str) -> None:
    with pytest.raises(EtymonError, match=problem) as refused:
        Catalog(url)
    assert "secret" not in str(refused.value)
    assert "postgresql+psycopg" in refused.value.remedy


def test_postgresql(postgresql: str, tmp_path: Path) -> None:
    check_catalog(tmp_path, postgresql)
