"""Texts in which tokenizers differ: edge cases of Unicode, digits and white space, docstrings and source code."""

import ast
import random
import sysconfig
from functools import cache
from pathlib import Path

EDGES = [
    " ", "  ", "\n", "\n\n", "\t", "\r\n", " \n ", "a\u00a0b", "\u3000", "\u2028x", "x\x85y", "１２３４", "١٢٣", "Ⅷ½²",
    "1,234.56", "3.14159265", "a1b2c3", "don't I'LL we've he'D It'S", "ſ ſt I'ſ", "é e\u0301", "日本語 テスト",
    "中文，标点。", "한국어", "👩\u200d👩\u200d👧 🇫🇷", "\u200b\u200d", "\ufeffBOM", "\x1c\x1d\x1e\x1f", "ᾳ Ǆ ǅ HÉllo ÉCOLE",
    "𝟘𝟙", "   leading", "trailing   ", "a  b   c    d", "\t\tx", "x\n\n\n  y", "==>", "$x+=1", "a^b~c|d`e", "\u202etest",
    "\ufffd", "\U0010ffff", "\ue000", "क्षि", "ไทย", "<|im_start|>user\nhi<|im_end|>\n", "<|im_start|><|im_end|>",
    "a<|endoftext|>b", " <|im_end|> ", "<|im_start", "0" * 50,
]  # fmt: skip


@cache
def real_strings(count: int) -> list[str]:
    """Edge cases of Unicode, digits and white space, then docstrings and source of the standard library."""
    generator = random.Random(0)
    found = EDGES + ["".join(generator.choices(EDGES, k=4)) for _ in range(150)]
    modules = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    generator.shuffle(modules)
    for path in modules:
        if len(found) >= count:
            break
        source = path.read_text("utf-8")
        lines = source.splitlines()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.append((ast.get_docstring(node) or "x")[:1000])
                found.append("\n".join(lines[node.lineno - 1 : node.end_lineno])[:400])
    return found[:count]
