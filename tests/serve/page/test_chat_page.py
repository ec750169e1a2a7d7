"""A person and the page: asks, reads, stops, asks again."""

import os
import signal
from collections.abc import Callable
from typing import Any

from served import Served

LABEL = "AI-generated"
SLOW = "slowly:" + " ".join(f"word{number}" for number in range(400))
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
