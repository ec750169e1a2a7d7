"""A page from its template: escaped, with a content policy that admits only the page's own style and script, by digest."""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from etymon.board import words
from etymon.board.pages import pictures

SCRIPT = "index.js"


def render(template: str, *, script: str = "", **values: Any) -> str:
    """One page. ``script`` names the file of its script, if it has one."""
    style, code = _text("page.css"), _text(script) if script else ""
    script_source = f"script-src {_source(code)}; " if code else ""
    policy = (
        f"default-src 'none'; style-src {_source(style)}; {script_source}img-src data:; base-uri 'none'; form-action 'none'"
    )
    return _environment().get_template(template).render(policy=policy, style=Markup(style), script=Markup(code), **values)


def data_block(value: Any) -> Markup:
    """JSON that may stand inside a script element of HTML: no character of it can end the element or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("etymon.board", "pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals.update(words=words, pictures=pictures, missing=words.MISSING)
    environment.filters["plain"] = words.plain
    return environment


@cache
def _text(name: str) -> str:
    return (files("etymon.board.pages") / name).read_text("utf-8")


def _source(text: str) -> str:
    """A content policy's source expression for an inline block (CSP Level 3, §2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
