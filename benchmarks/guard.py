"""What a service's guard costs: processor time a piece of an answer, and a megabyte of a question.

A stream of pieces of five characters (two of Chinese) goes through what a service does to every piece of an answer, once
without a policy, once with some dozens of terms, and once with three patterns more. Medians over rounds.

`microseconds_per_token_none`, `_terms`, `_patterns`: a piece. `seconds_per_mb_terms`, `_patterns`: a text of a million
characters; `seconds_per_mb_candidates`: one made of words that are almost terms.
"""

import asyncio
import json
import time
from typing import Any

from common import finish, median, options
from etymon.serve.gateway.edit import DONE, Edit
from etymon.serve.gateway.exchange import Exchange
from etymon.serve.guard.guard import Guard, Guarded
from etymon.serve.labels import Labels

TERMS = (
    "bomb, pipe bomb, dirty bomb, grenade, c4 charge, nerve agent, sarin, ricin, anthrax, bioweapon, silencer, ghost gun, "
    "kill list, hitman, explosive vest, cocaine, heroin, fentanyl, meth lab, counterfeit, phishing, ransomware, keylogger, "
    "rootkit, botnet, skimmer, genocide, massacre, slur, isis, ass, hell, 炸药, 炸弹, 毒品, c++"
)
PATTERNS = [r"\b\d{3}-\d{4}\b", r"secret project \w+", r"\b[a-z0-9.]+@corp\.example\b"]
TEXTS = {
    "English": ("The old bridge was built in 1874, and most people in the town still walk across it to the market. " * 20, 5),
    "Chinese": ("这座老桥建于一八七四年，镇上的大多数人每天早晨仍然从桥上走过去市场买东西。" * 50, 2),
}
ALMOST = "as is b o m c pass bombast b-o-m what it is is hello "


def guard(*, terms: bool, patterns: bool) -> Guard:
    rules = [{"id": "t", "terms": TERMS.split(", ")}] * terms + [{"id": "p", "patterns": PATTERNS}] * patterns
    return Guard(Guarded.model_validate({"rules": rules}))


async def per_piece(using: Guard, text: str, length: int) -> float:
    """Seconds of processor time for each piece of an answer."""
    pieces = [text[at : at + length] for at in range(0, len(text), length)]
    events = [b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": each}}]}).encode() for each in pieces]
    edit = Edit(using, Labels(), Exchange("chat/completions", None), chat=True, prose=True)
    began, sent = time.process_time(), 0
    for event in (*events, DONE):
        async for _ in edit.events(event):
            sent += 1
    assert sent > len(pieces) // 2
    return (time.process_time() - began) / len(pieces)


async def per_text(using: Guard, text: str) -> float:
    """Seconds of processor time for a million characters."""
    whole = text * (1_000_000 // len(text))
    began = time.process_time()
    assert await using.find([whole], "input") is None
    return (time.process_time() - began) / (len(whole) / 1e6)


def main() -> None:
    given = options(__doc__ or "").parse_args()
    rounds = 3 if given.quick else 15
    guards = {
        "none": guard(terms=False, patterns=False),
        "terms": guard(terms=True, patterns=False),
        "patterns": guard(terms=True, patterns=True),
    }
    figures: dict[str, Any] = {"terms": TERMS.count(",") + 1, "patterns": len(PATTERNS)}
    rows: list[tuple[str, ...]] = [("", *guards)]
    for name, (text, length) in TEXTS.items():
        taken = {of: median([asyncio.run(per_piece(g, text, length)) for _ in range(rounds)]) for of, g in guards.items()}
        rows.append((f"{name}, µs a token", *(f"{1e6 * each:.1f}" for each in taken.values())))
        suffix = "" if name == "English" else f"_{name.lower()}"
        figures |= {f"microseconds_per_token_{of}{suffix}": round(1e6 * each, 1) for of, each in taken.items()}
    for name, text in {"English": TEXTS["English"][0], "Chinese": TEXTS["Chinese"][0], "almost terms": ALMOST}.items():
        taken = {
            of: median([asyncio.run(per_text(g, text)) for _ in range(rounds)]) for of, g in guards.items() if of != "none"
        }
        rows.append((f"{name}, s a million characters", "", *(f"{each:.3f}" for each in taken.values())))
        suffix = {"English": "", "Chinese": "_chinese"}.get(name, "_candidates")
        figures |= {f"seconds_per_mb_{of}{suffix}": round(each, 4) for of, each in taken.items()}
    finish(figures, rows, given.json)


if __name__ == "__main__":
    main()
