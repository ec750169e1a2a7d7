"""A person and the page: asks, reads, stops, asks again, copies, and comes back to it later."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import Served

from etymon.serve.page import files

LABEL = "AI-generated"
SLOW = "slowly:" + " ".join(f"word{number}" for number in range(400))
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>![](https://example.com/x.png)"
)
Visits = Callable[..., Any]


def test_a_question_is_answered_piece_by_piece_and_can_be_stopped(visit: Visits) -> None:
    seen = visit()
    seen.ask(SLOW)
    seen.expect(seen.last_answer()).to_contain_text("word3 ")
    seen.expect(seen.page.locator(".answering")).to_have_attribute("aria-busy", "true")
    early = seen.last_answer().inner_text()
    seen.expect(seen.last_answer()).to_contain_text("word9 ")
    assert seen.last_answer().inner_text().startswith(early.strip())
    seen.page.get_by_role("button", name="Stop").click()
    seen.at_rest()
    stopped = seen.last_answer().inner_text()
    assert "word9" in stopped
    assert "word399" not in stopped
    seen.expect(seen.page.get_by_text("You stopped this answer.")).to_be_visible()
    seen.page.wait_for_timeout(200)
    assert seen.last_answer().inner_text() == stopped, "nothing comes any more"


def test_escape_stops_and_focus_stays_at_the_question(visit: Visits) -> None:
    seen = visit()
    seen.ask(SLOW)
    seen.expect(seen.last_answer()).to_contain_text("word2 ")
    seen.page.keyboard.press("Escape")
    seen.at_rest()
    seen.expect(seen.page.get_by_label("Your question")).to_be_focused()


def test_a_real_model_answers_and_what_it_is_stands_beside_the_answer(visit: Visits, serving: Served) -> None:
    (tiny,) = [model for model in serving.get("/v1/models").json()["data"] if model["id"] == "tiny"]
    seen = visit()
    seen.answered("first", "first")
    seen.page.get_by_label("Model", exact=True).select_option("tiny")
    seen.expect(seen.page.locator("#about")).to_contain_text(tiny["etymon"]["digest"][:12])
    seen.ask("Hello")
    seen.expect(seen.page.locator(".assistant")).to_have_count(2)
    seen.at_rest()
    answers = seen.page.locator(".assistant")
    assert answers.first.get_attribute("aria-label") == "Answer of echo"
    assert answers.last.get_attribute("aria-label") == "Answer of tiny"
    answers.last.get_by_role("button", name="tiny").click()
    about = seen.page.get_by_role("dialog")
    seen.expect(about).to_contain_text(tiny["etymon"]["digest"])
    seen.expect(about).to_contain_text("96 tokens")
    seen.expect(about).to_contain_text("It inherits all of it. <img src=x onerror=alert(1)>")
    assert about.locator("img").count() == 0
    assert "license:" not in about.inner_text(), "the front matter is for machines"
    seen.page.keyboard.press("Escape")
    seen.expect(about).to_be_hidden()


def test_an_answer_is_given_again_and_a_question_asked_otherwise(visit: Visits) -> None:
    seen = visit()
    seen.answered("one", "one")
    seen.answered("two", "two")
    assert seen.page.get_by_role("button", name="Regenerate").count() == 1, "of the last answer"
    with seen.page.expect_request("**/v1/chat/completions") as request:
        seen.page.get_by_role("button", name="Regenerate").click()
    assert [each["content"] for each in request.value.post_data_json["messages"]] == ["one", "one", "two"]
    seen.at_rest()
    assert seen.page.locator(".text").all_inner_texts() == ["one", "one", "two", "two"]
    seen.page.locator(".user").first.hover()
    seen.page.get_by_role("button", name="Edit").first.click()
    seen.page.locator(".editor textarea").fill("three")
    seen.page.keyboard.press("Enter")
    seen.expect(seen.last_answer()).to_have_text("three")
    assert seen.page.locator(".text").all_inner_texts() == ["three", "three"]


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
    seen.page.get_by_label("Your question").fill(f"```{language}\na = 1\n```")
    seen.page.keyboard.press("Enter")
    seen.page.locator(".code").get_by_role("button", name="Copy").click()
    assert seen.clipboard() == f"a = 1\n\n{last}"


def test_hostile_text_of_a_model_stays_text(visit: Visits) -> None:
    seen = visit()
    seen.ask(f"{HOSTILE}\n\n[go](javascript:document.title='owned') [out](https://example.com/a)\n\n```html\n{HOSTILE}\n```")
    seen.at_rest()
    answer = seen.last_answer()
    seen.expect(answer).to_contain_text("<script>document.title='owned'</script>")
    assert answer.locator("img, script, iframe, svg").count() == 0
    links = answer.locator("a").evaluate_all("all => all.map(each => [each.href, each.rel])")
    assert {href for href, _ in links} == {"https://example.com/x.png", "https://example.com/a"}
    assert all("noopener" in rel and "noreferrer" in rel for _, rel in links)
    seen.expect(answer).to_contain_text("out (example.com)")
    assert "owned" not in seen.page.evaluate("document.title").replace("document.title='owned'", "")
    assert seen.page.locator("#conversations img, #conversations script").count() == 0


def test_markdown_is_shown_and_half_written_markdown_too(visit: Visits) -> None:
    seen = visit()
    text = "# Head\n\n1. one\n   - *in*\n\n2. two\n\n| a | b |\n|---|---|\n| `c` | ~~d~~ |\n\n> said\n\n---\n"
    text += "snake_case_name 2 * 3 * 4"
    seen.ask(text)
    seen.at_rest()
    shown = seen.last_answer()
    for selector, words in (
        ("h3", "Head"),
        ("ol > li > ul em", "in"),
        ("td code", "c"),
        ("td del", "d"),
        ("blockquote", "said"),
    ):
        seen.expect(shown.locator(selector)).to_have_text(words)
    assert shown.locator("ol > li").count() == 2
    seen.expect(shown.locator("p").last).to_have_text("snake_case_name 2 * 3 * 4")
    for part in ("```py\nx = 1", "**not closed", "[label](", "| a |\n|-", "- ", "`", "1. "):
        seen.ask(part)
        seen.at_rest()
    seen.ask("*" * 2_000 + " _a" * 2_000 + "[" * 2_000 + "\n" + "> " * 2_000)
    seen.at_rest()


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


def test_an_engine_that_is_lost_keeps_what_was_said(visit: Visits) -> None:
    seen = visit()
    seen.ask("break:What was said before the end stays here.")
    alert = seen.page.get_by_role("alert")
    seen.expect(alert).to_contain_text("The engine ended before the answer did")
    seen.expect(seen.last_answer()).to_have_text("What was said before")
    seen.expect(seen.page.locator(".assistant .mark")).to_have_text(LABEL)
    seen.answered("and on", "and on")
    seen.expect(alert).to_be_empty()


def test_what_the_policy_refused_is_told_and_not_asked_again(visit: Visits) -> None:
    seen = visit()
    seen.answered("first", "first")
    seen.answered("the swordfish", "I cannot help with that.")
    seen.expect(seen.page.get_by_text("The service's policy ended this answer.")).to_be_visible()
    seen.answered("and on", "and on")


def test_a_killed_llama_cpp_is_told_and_answers_again(visit: Visits, serving: Served) -> None:
    seen = visit(refusals=True)
    seen.page.get_by_label("Model", exact=True).select_option("tiny")
    for engine in serving.engines():
        os.kill(engine, signal.SIGKILL)
    seen.ask("Hello")
    seen.expect(seen.page.get_by_role("alert")).to_contain_text("engine")
    seen.expect(seen.page.locator(".assistant")).to_have_count(0)
    assert seen.page.locator(".user .text").inner_text() == "Hello", "the question is not lost"
    for _ in range(20):
        seen.page.get_by_role("button", name="Try again").click()
        seen.at_rest()
        if seen.page.locator(".assistant").count():
            break
    seen.expect(seen.page.locator(".assistant")).to_have_count(1)


def test_thoughts_stand_apart_and_are_not_sent_back(visit: Visits) -> None:
    seen = visit()
    seen.answered("think:so", "so")
    thought = seen.page.locator(".assistant .thought")
    seen.expect(thought).to_be_hidden()
    seen.page.get_by_text("What it thought before").click()
    seen.expect(thought).to_have_text("Somebody says so")
    with seen.page.expect_request("**/v1/chat/completions") as request:
        seen.answered("next", "next")
    assert "Somebody" not in request.value.post_data


def test_the_policy_speaks_through_the_page(visit: Visits, ruled: Served) -> None:
    seen = visit(ruled, refusals=True)
    seen.ask("What is a word?")
    seen.at_rest()
    seen.expect(seen.page.locator(".assistant .mark")).to_have_text("AI生成")
    seen.page.locator(".assistant").get_by_role("button", name="Copy").click()
    assert seen.clipboard() == "What is a word?\n\nAI生成", "the label that the text has already is enough"
    seen.last_answer().locator("p").first.select_text()
    seen.page.keyboard.press("Control+C")
    assert seen.clipboard() == "What is a word?\n\nAI生成"
    with seen.page.expect_request("**/v1/chat/completions") as request:
        seen.ask("Say zep" + "pelin now.")
    assert request.value.post_data_json["messages"][1]["content"] == "What is a word?"
    seen.at_rest()
    seen.expect(seen.last_answer()).to_contain_text("Not here.")
    seen.expect(seen.page.get_by_text("The service's policy ended this answer.")).to_be_visible()
    seen.page.locator("#about").click()
    seen.expect(seen.page.get_by_role("dialog")).to_contain_text("questions about words")
    seen.expect(seen.page.get_by_role("dialog")).to_contain_text("no model card")


def test_a_screen_reader_hears_the_answer_once(visit: Visits) -> None:
    seen = visit()
    seen.expect(seen.page.get_by_role("status")).to_be_empty()
    seen.answered("Read this aloud", "Read this aloud")
    seen.expect(seen.page.get_by_role("status")).to_have_text("Read this aloud")


def test_the_page_is_small_and_refers_to_nothing_else(serving: Served) -> None:
    folder = Path(files.__file__).parent
    sent = [path for path in folder.iterdir() if path.suffix in (".html", ".css", ".js", ".svg")]
    assert sum(path.stat().st_size for path in sent) < 60_000
    assert not any("innerHTML" in path.read_text() for path in sent)
    answer = serving.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    for path in ("/page", "/page/", "/page/files.py", "/page/%2e%2e/door.py", "/page/page.js/"):
        assert serving.get(path).status_code == 404
