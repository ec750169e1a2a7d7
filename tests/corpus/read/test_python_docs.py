"""Docstrings with signatures, read from source; nothing is imported."""

import sys
from pathlib import Path

from etymon.corpus.read.formats import Document, Unread
from etymon.corpus.read.python_docs import library_files, read_module

_SOURCE = '''
"""The module's own words."""
import nothing_of_this_name

class Pump(Base, metaclass=Meta):
    """A pump."""
    def start(self, /, speed: int = 3, *, slow=False) -> None:
        """Start it."""
        def inner():
            """Not listed."""
    def _private(self):
        """Not listed."""

class _Hidden:
    """Not listed."""
    def shown(self):
        """Not listed."""

try:
    async def fetch(*args, **kwargs):
        """Fetch it."""
except ImportError:
    def fetch_plain():
        """Fetch without."""

def bare(): pass
'''


def test_public_definitions_with_their_signatures(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(_SOURCE, "utf-8")
    assert [document.text for document in read_module(tmp_path / "m.py", "m") if isinstance(document, Document)] == [
        "m\n\nThe module's own words.",
        "class m.Pump(Base, metaclass=Meta)\n\nA pump.",
        "m.Pump.start(self, /, speed: int=3, *, slow=False) -> None\n\nStart it.",
        "async m.fetch(*args, **kwargs)\n\nFetch it.",
        "m.fetch_plain()\n\nFetch without.",
    ]


def test_source_that_does_not_parse_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def broken(:\n", "utf-8")
    (found,) = read_module(tmp_path / "m.py", "m")
    assert isinstance(found, Unread)
    assert found.reason == "unreadable-python"


def test_the_library_without_tests_private_modules_and_packages_of_others() -> None:
    before = set(sys.modules)
    names = [name for name, _ in library_files()]
    assert names == sorted(set(names))
    assert {"json", "json.decoder", "heapq", "email.message"} <= set(names)
    assert not any(part.startswith("_") or part in ("test", "tests", "idlelib") for name in names for part in name.split("."))
    (heapq,) = [path for name, path in library_files() if name == "heapq"]
    texts = [found.text for found in read_module(heapq, "heapq") if isinstance(found, Document)]
    assert any(text.startswith("heapq.merge(*iterables, key=None, reverse=False)\n\n") for text in texts)
    assert set(sys.modules) == before
