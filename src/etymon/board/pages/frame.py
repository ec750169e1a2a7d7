"""A page of the board from its template."""

import json
from typing import Any

from markupsafe import Markup

from etymon.board import words
from etymon.pictures.page import Templates

SCRIPT = "index.js"
_TEMPLATES = Templates("etymon.board", "pages", style="board.css")


def render(template: str, *, script: str = "", **values: Any) -> str:
    """One page. ``script`` names the file of its script, if it has one."""
    return _TEMPLATES.render(template, script=script, words=words, missing=words.MISSING, **values)


def data_block(value: Any) -> Markup:
    """JSON that may stand inside a script element of HTML: no character of it can end the element or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
