"""The running interpreter's own documentation: docstrings with signatures, read from the standard library's source.

The source is parsed, never imported. The same Python version gives the same documents on every machine.
"""

import ast
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from etymon.corpus.read.formats import Document, Read, Unread

# Folders that hold no documentation of the library: its tests, other people's packages, applications.
_SKIPPED = frozenset({"test", "tests", "idlelib", "turtledemo", "site-packages", "dist-packages", "_bundled", "lib-dynload"})
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def library_files() -> list[tuple[str, Path]]:
    """Public modules of the standard library as (dotted name, file), by name; a package is named for its ``__init__.py``."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if name not in _SKIPPED and _is_public_module(name)]
        package = Path(folder).relative_to(root).parts
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix == ".py" and (_is_public_module(stem) or (stem == "__init__" and package)):
                found.append((".".join([*package, stem] if stem != "__init__" else package), Path(folder, name)))
    return sorted(found)


def read_module(path: Path, module: str) -> Read:
    """One document for the module and for each public class and function in it that has a docstring."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        yield Unread(module, "unreadable-python", f"{type(error).__name__}: {error}")
        return
    if docstring := ast.get_docstring(tree):
        yield Document(module, f"{module}\n\n{docstring}")
    for name, node in _definitions(tree.body, module):
        if docstring := ast.get_docstring(node):
            yield Document(module, f"{_signature(name, node)}\n\n{docstring}")


def _definitions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, _Definition]]:
    """Public classes and functions, methods included, also those under ``if`` and ``try``; not those inside functions."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if _public(node.name):
                name = f"{prefix}.{node.name}"
                yield name, node
                if isinstance(node, ast.ClassDef):
                    yield from _definitions(node.body, name)
        elif isinstance(node, ast.If | ast.Try):
            handlers = [statement for handler in getattr(node, "handlers", []) for statement in handler.body]
            yield from _definitions([*node.body, *handlers, *node.orelse, *getattr(node, "finalbody", [])], prefix)


def _signature(name: str, node: _Definition) -> str:
    if isinstance(node, ast.ClassDef):
        given = ", ".join(ast.unparse(each) for each in [*node.bases, *node.keywords])
        return f"class {name}({given})" if given else f"class {name}"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    kind = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{kind}{name}({ast.unparse(node.args)}){returns}"


def _is_public_module(name: str) -> bool:
    return _public(name) and name.isidentifier()


def _public(name: str) -> bool:
    return not name.startswith("_")
