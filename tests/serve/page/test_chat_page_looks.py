"""The page in light and dark, on a desk and in a hand, by keyboard."""

from collections.abc import Callable
from typing import Any

import pytest

Visits = Callable[..., Any]
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
LIGHTNESS = """selector => {
  const shown = getComputedStyle(document.querySelector(selector)).backgroundColor.match(/[\\d.]+/g).map(Number);
  return (shown[0] + shown[1] + shown[2]) / 765;
}"""
CONTRAST = """() => {
  const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
    .map((each) => each / 255).map((each) => (each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, row) => sum + each * [0.2126, 0.7152, 0.0722][row], 0);
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const words = [...document.querySelectorAll("#main *, #side *")]
    .filter((each) => each.checkVisibility() && each.textContent.trim());
  return Math.min(...words.filter((each) => !each.closest("button.main, :disabled")).map((each) => {
    const [high, low] = [light(getComputedStyle(each).color), ground].sort((one, other) => other - one);
    return (high + 0.05) / (low + 0.05);
  }));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_looks_as_the_system_does_until_it_is_told_otherwise(visit: Visits, scheme: str) -> None:
    seen = visit(color_scheme=scheme)
    seen.answered("```py\na\n```\n[link](https://example.com/)", "pyCopyalink (example.com)")
    dark = scheme == "dark"
    assert (seen.page.evaluate(LIGHTNESS, "body") < 0.3) is dark
    assert seen.page.evaluate(CONTRAST) >= 4.5, "WCAG 2.2, 1.4.3"
    other = "light" if dark else "dark"
    seen.page.get_by_label("Appearance").select_option(other)
    assert (seen.page.evaluate(LIGHTNESS, "body") < 0.3) is not dark
    assert seen.page.evaluate(CONTRAST) >= 4.5
    seen.page.reload()
    assert (seen.page.evaluate(LIGHTNESS, "body") < 0.3) is not dark, "the choice is kept"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it(visit: Visits, scheme: str) -> None:
    seen = visit(color_scheme=scheme, **PHONE)
    side = seen.page.locator("#side")
    seen.expect(side).to_be_hidden()
    wide = "a" * 300
    seen.ask(f"{wide}\n\n```\n{wide}\n```\n\n| {wide} | b |\n|---|---|\n| c | d |")
    seen.at_rest()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert seen.page.locator("#talk").evaluate("e => e.scrollWidth <= e.clientWidth")
    for name in ("Send", "Conversations", "This conversation"):
        box = seen.page.get_by_role("button", name=name, exact=True).bounding_box()
        assert box["height"] >= 36
        assert box["x"] + box["width"] <= 360
    seen.page.get_by_role("button", name="Conversations").tap()
    seen.expect(side).to_be_visible()
    seen.page.get_by_role("button", name="New conversation").tap()
    seen.expect(side).to_be_hidden()
    seen.expect(seen.page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    seen.page.get_by_role("button", name="Conversations").tap()
    seen.page.keyboard.press("Escape")
    seen.expect(side).to_be_hidden()


def test_everything_is_reached_by_keyboard_and_named(visit: Visits) -> None:
    seen = visit()
    seen.answered("by keyboard", "by keyboard")
    seen.page.keyboard.press("Shift+Enter")
    seen.page.keyboard.type("second line")
    assert seen.page.get_by_label("Your question").input_value() == "\nsecond line", "a new line is not sent"
    seen.page.get_by_label("Your question").fill("")
    reached = set()
    for _ in range(25):
        seen.page.keyboard.press("Tab")
        reached.add(
            seen.page.evaluate(
                "(() => { const e = document.activeElement; return e.getAttribute('aria-label') || e.labels?.[0]?.textContent"
                " || e.textContent; })()"
            ).split(" ")[0]
        )
    assert {
        "To",
        "New",
        "by",
        "Appearance",
        "Export",
        "Key…",
        "Model",
        "About",
        "This",
        "Edit",
        "Copy",
        "Regenerate",
    } <= reached
    unnamed = """[...document.querySelectorAll("button:not(#ask-do), select, input, textarea, a")].filter((each) =>
      !each.textContent.trim() && !each.getAttribute("aria-label") && !each.labels?.length)"""
    assert seen.page.evaluate(f"{unnamed}.map((each) => each.outerHTML)") == []


def test_it_follows_the_answer_unless_the_reader_scrolled_up(visit: Visits) -> None:
    seen = visit()
    lines = "\n\n".join(f"line {number}" for number in range(80))
    seen.ask(lines)
    seen.at_rest()
    talk = "document.getElementById('talk')"
    at_end = f"{talk}.scrollHeight - {talk}.scrollTop - {talk}.clientHeight < 5"
    assert seen.page.evaluate(at_end)
    seen.page.evaluate(f"{talk}.scrollTop = 0")
    seen.expect(seen.page.get_by_role("button", name="Latest")).to_be_visible()
    seen.page.get_by_role("button", name="Latest").click()
    seen.expect(seen.page.get_by_role("button", name="Latest")).to_be_hidden()
    assert seen.page.evaluate(at_end)
