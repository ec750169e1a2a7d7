"""A page from its template: escaped, with a content policy that admits only the page's own style and script, by digest."""

import base64
import hashlib
import os
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from etymon.errors import EtymonError
from etymon.text.counted import counted
from etymon.text.plain import plain

_GENERATOR = '<meta name="generator" content="Etymon">'


@dataclass(frozen=True)
class Templates:
    """The templates of one part, which extend ``frame.html.j2``, with its style beside the shared one."""

    package: str
    folder: str
    style: str = ""
    """File of the part's own style."""

    def render(self, template: str, *, script: str = "", **values: Any) -> str:
        """One page. ``script`` names the file of its script, if it has one."""
        style, code = _text("etymon.pictures", "page.css"), self._own(script)
        style += self._own(self.style)
        script_source = f"script-src {_source(code)}; " if code else ""
        policy = (
            f"default-src 'none'; style-src {_source(style)}; {script_source}img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )
        page = _environment(self.package, self.folder).get_template(template)
        return page.render(policy=policy, style=Markup(style), script=Markup(code), **values)

    def _own(self, name: str) -> str:
        return _text(f"{self.package}.{self.folder}", name) if name else ""


def check_place(path: Path) -> None:
    """Raises EtymonError where a page cannot be put: before the work that it shows is done."""
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else f"cannot be written: there is no folder {path.parent}"
        raise EtymonError(f"{path} {problem}.", "Name a file in a folder that is there, such as lineage.html.")
    if path.exists() and _GENERATOR not in path.read_text("utf-8", "replace")[:4096]:
        raise EtymonError(f"{path} is no page of Etymon; it is left as it is.", "Name another file.")


def write_page(text: str, path: Path) -> None:
    """Write a page whole or not at all. Raises EtymonError where that is no place for it, or holds another file."""
    check_place(path)
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made.write_text(text, "utf-8")
        made.replace(path)
    except OSError as error:
        raise EtymonError(
            f"{path} cannot be written: {error.strerror or error}.", "Name a file in another folder."
        ) from error
    finally:
        made.unlink(missing_ok=True)


@cache
def _environment(package: str, folder: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, folder), PackageLoader("etymon", "pictures")]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(plain=plain, counted=counted)
    return environment


@cache
def _text(package: str, name: str) -> str:
    return (files(package) / name).read_text("utf-8")


def _source(text: str) -> str:
    """A content policy's source expression for an inline block (CSP Level 3, §2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
