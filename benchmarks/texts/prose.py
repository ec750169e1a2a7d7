"""Paragraphs and sentences of English that any machine with Python has: docstrings, package descriptions, README files."""

import ast
import gzip
import json
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from common import BENCH

PARAGRAPHS = 60_000
"""As many are looked for; a machine with few packages gives fewer."""
_WORDS = (12, 150)
_STOP = frozenset(["the", "a", "of", "to", "and", "in", "is", "are", "be", "that", "with", "for", "this", "it", "on"])
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z])")
_STRUCTURE = re.compile(r"^\s*(>>>|\.\. |:\w+|[-*=+|#]|\d+[.)] |@|\$)", re.MULTILINE)


def paragraphs() -> list[str]:
    """Distinct paragraphs of prose, each in one line, in an order that is the same on every run on this machine."""
    kept = BENCH / "paragraphs.json"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(_distinct(_texts()), ensure_ascii=False), "utf-8")
    found: list[str] = json.loads(kept.read_text("utf-8"))
    return found


def sentences(prose: list[str]) -> list[str]:
    """The distinct sentences of 6 to 40 words in these paragraphs that have no more punctuation than a novel."""
    parts = (sentence for paragraph in prose for sentence in _SENTENCE_END.split(paragraph))
    return list(dict.fromkeys(sentence for sentence in parts if _is_plain(sentence)))


def _is_plain(sentence: str) -> bool:
    words = sentence.count(" ") + 1
    return 6 <= words <= 40 and sum(not letter.isalnum() for letter in sentence) - words + 1 <= 0.16 * words


def _distinct(texts: Iterator[str]) -> list[str]:
    found: dict[str, None] = {}
    seen: set[str] = set()  # paragraphs that begin alike are one text with another name in it
    for text in texts:
        for block in re.split(r"\n\s*\n", text):
            line = " ".join(block.split())
            if line and _is_prose(block, line) and line[:50].casefold() not in seen:
                seen.add(line[:50].casefold())
                found[line] = None
        if len(found) >= PARAGRAPHS:
            break
    return list(found)


def _is_prose(block: str, line: str) -> bool:
    words = line.split(" ")
    return (
        _WORDS[0] <= len(words) <= _WORDS[1]
        and line[0].isupper()
        and line[-1] in ".!?"
        and not _STRUCTURE.search(block)
        and sum(word.strip(".,;:!?()'\"`").isalpha() for word in words) >= 0.85 * len(words)
        and len(_STOP.intersection(words)) >= 3
    )


def _texts() -> Iterator[str]:
    paths = sysconfig.get_paths()
    for root in (paths["stdlib"], paths["purelib"]):
        for source in sorted(Path(root).rglob("*.py")):
            if root == paths["purelib"] or "site-packages" not in source.parts:
                yield from _docstrings(source)
    for description in sorted(Path(paths["purelib"]).glob("*.dist-info/METADATA")):
        yield description.read_text("utf-8", errors="replace").partition("\n\n")[2]
    for readme in sorted(Path("/usr/share/doc").glob("*/README*")):
        if readme.is_file():
            data = readme.read_bytes()
            yield (gzip.decompress(data) if readme.suffix == ".gz" else data).decode("utf-8", errors="replace")


def _docstrings(source: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source.read_bytes())
    except (SyntaxError, ValueError, OSError):  # test files of broken sources
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ast.get_docstring(node) or ""
