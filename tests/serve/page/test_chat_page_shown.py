"""What is shown of a model's words, whatever they are, and of the service's policy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from served import Served

from etymon.serve.page import files

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>![](https://example.com/x.png)"
)
Visits = Callable[..., Any]


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


def test_a_question_sent_before_the_models_are_known_waits_for_them(visit: Visits) -> None:
    seen = visit()
    let_through: list[Any] = []
    seen.page.route("**/v1/models", lambda route: let_through.append(route))
    seen.page.reload()
    seen.ask("early")
    seen.expect(seen.page.get_by_label("Your question")).to_have_value("early")
    seen.page.wait_for_timeout(100)
    let_through[0].continue_()
    seen.expect(seen.last_answer()).to_have_text("early")


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
        seen.ask("Say zeppelin now.")
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
