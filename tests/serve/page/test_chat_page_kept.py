"""What stays: conversations in the browser, and the mark on what is copied."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LABEL = "AI-generated"
SLOW = "slowly:" + " ".join(f"word{number}" for number in range(400))
Visits = Callable[..., Any]


def test_the_mark_stays_when_text_is_copied(visit: Visits) -> None:
    seen = visit()
    seen.answered("All of **this** was generated.", "All of this was generated.")
    seen.expect(seen.page.locator(".assistant .mark")).to_have_text(LABEL)
    seen.page.locator(".assistant").get_by_role("button", name="Copy").click()
    seen.expect(seen.page.locator(".assistant").get_by_role("button", name="Copied")).to_be_visible()
    assert seen.clipboard() == f"All of **this** was generated.\n\n{LABEL}"
    seen.last_answer().locator("strong").select_text()
    seen.page.keyboard.press("Control+C")
    assert seen.clipboard() == f"this\n\n{LABEL}"
    seen.page.locator("#talk").focus()
    seen.page.keyboard.press("Control+A")
    seen.page.keyboard.press("Control+C")
    assert seen.clipboard().endswith(f"\n\n{LABEL}")
    assert seen.clipboard().count(LABEL) == 1
    seen.page.locator(".user .text").select_text()
    seen.page.keyboard.press("Control+C")
    assert seen.clipboard() == "All of **this** was generated.", "what the user wrote is not marked"


@pytest.mark.parametrize(
    ("language", "last"), [("python", f"# {LABEL}"), ("js", f"// {LABEL}"), ("html", f"<!-- {LABEL} -->"), ("", LABEL)]
)
def test_copied_code_has_the_mark_as_a_comment(visit: Visits, language: str, last: str) -> None:
    seen = visit()
    seen.ask(f"```{language}\na = 1\n```")
    seen.at_rest()
    seen.page.locator(".code").get_by_role("button", name="Copy").click()
    assert seen.clipboard() == f"a = 1\n\n{last}"


def test_conversations_are_kept_named_exported_and_deleted(visit: Visits, tmp_path: Path) -> None:
    seen = visit()
    listed = seen.page.locator("#conversations button")
    seen.answered("About the first", "About the first")
    seen.page.get_by_role("button", name="New conversation").click()
    seen.answered("About the second", "About the second")
    seen.page.reload()
    seen.expect(seen.last_answer()).to_have_text("About the second")
    seen.expect(listed).to_have_text(["About the second", "About the first"])
    listed.last.click()
    seen.expect(seen.last_answer()).to_have_text("About the first")
    seen.expect(listed.last).to_have_attribute("aria-current", "true")
    menu = seen.page.get_by_role("button", name="This conversation")
    menu.click()
    seen.page.get_by_role("button", name="Rename").click()
    seen.page.get_by_label("Name", exact=True).fill("Mine <b>")
    seen.page.keyboard.press("Enter")
    seen.expect(listed.last).to_have_text("Mine <b>")
    menu.click()
    with seen.page.expect_download() as download:
        seen.page.get_by_role("button", name="Export as JSON").click()
    assert download.value.suggested_filename == "Mine-b.json"
    download.value.save_as(tmp_path / "mine.json")
    content = json.loads((tmp_path / "mine.json").read_text())
    assert content["label"] == LABEL
    (conversation,) = content["conversations"]
    assert [(each["role"], each["content"]) for each in conversation["messages"]] == [
        ("user", "About the first"), ("assistant", "About the first"),
    ]  # fmt: skip
    assert conversation["messages"][1]["model"]["id"] == "echo"
    menu.click()
    seen.page.get_by_role("button", name="Delete").click()
    seen.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    seen.expect(listed).to_have_text(["About the second"])
    seen.page.reload()
    seen.expect(listed).to_have_text(["About the second"])


def test_an_answer_goes_on_while_another_conversation_is_open_and_survives_leaving(visit: Visits) -> None:
    seen = visit()
    seen.ask(SLOW)
    seen.expect(seen.last_answer()).to_contain_text("word2 ")
    seen.page.get_by_role("button", name="New conversation").click()
    seen.answered("meanwhile", "meanwhile")
    seen.page.locator("#conversations button").filter(has_text="word0").click()
    seen.expect(seen.last_answer()).to_contain_text("word12 ")
    seen.page.reload()
    seen.expect(seen.last_answer()).to_contain_text("word12 ")
    seen.expect(seen.page.get_by_text("This answer is not complete.")).to_be_visible()


def test_two_tabs_show_the_same(visit: Visits) -> None:
    seen = visit()
    seen.answered("in the first", "in the first")
    other = seen.page.context.new_page()
    other.goto(seen.page.url)
    seen.expect(other.locator(".assistant .text")).to_have_text("in the first")
    seen.answered("and more", "and more")
    seen.expect(other.locator(".assistant .text").last).to_have_text("and more")


def test_what_is_selected_stays_selected_while_an_answer_comes(visit: Visits) -> None:
    seen = visit()
    seen.answered("one **two** three", "one two three")
    seen.ask("slowly:and a few more words that come one after the other")
    seen.page.locator(".assistant strong").select_text()
    seen.at_rest()
    assert seen.page.evaluate("getSelection().toString()") == "two"


def test_a_browser_without_room_says_so(visit: Visits) -> None:
    seen = visit()
    seen.page.evaluate("localStorage.setItem('full', 'x'.repeat(5 * 1024 * 1024 - 100))")
    seen.answered("no room for this", "no room for this")
    seen.expect(seen.page.get_by_role("alert")).to_contain_text("no room left")
