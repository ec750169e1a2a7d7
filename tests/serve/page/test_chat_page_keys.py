"""The page where the service asks for keys and has limits."""

from collections.abc import Callable
from typing import Any

from served import Served

Visits = Callable[..., Any]
Guarded = tuple[Served, str]


def give(seen: Any, secret: str, *, remember: bool = False) -> None:
    dialog = seen.page.get_by_role("dialog")
    dialog.get_by_label("Key").fill(secret)
    dialog.get_by_label("Remember").set_checked(remember)
    dialog.get_by_role("button", name="Use it").click()


def test_a_key_is_asked_for_checked_and_kept_with_the_tab(visit: Visits, guarded: Guarded) -> None:
    service, secret = guarded
    seen = visit(service, refusals=True)
    dialog = seen.page.get_by_role("dialog")
    seen.expect(dialog).to_contain_text("asks for a key")
    seen.expect(dialog.get_by_label("Key")).to_be_focused()
    give(seen, "ety-wrong")
    seen.expect(dialog).to_contain_text("Incorrect API key")
    give(seen, secret)
    seen.expect(dialog).to_be_hidden()
    seen.expect(seen.page.get_by_label("Model", exact=True)).to_have_value("echo")
    seen.page.reload()
    seen.expect(seen.page.get_by_label("Model", exact=True)).to_have_value("echo")
    assert secret not in str(seen.page.evaluate("({...localStorage})"))
    assert secret in str(seen.page.evaluate("({...sessionStorage})"))
    other = seen.page.context.new_page()
    other.goto(service.address)
    seen.expect(other.get_by_role("dialog")).to_be_visible()


def test_a_key_is_remembered_where_that_is_ticked_and_forgotten_on_request(visit: Visits, guarded: Guarded) -> None:
    service, secret = guarded
    seen = visit(service, refusals=True)
    give(seen, secret, remember=True)
    seen.expect(seen.page.get_by_role("dialog")).to_be_hidden()
    other = seen.page.context.new_page()
    other.goto(service.address)
    seen.expect(other.get_by_label("Model", exact=True)).to_have_value("echo")
    seen.page.get_by_role("button", name="Key…").click()
    seen.page.get_by_role("button", name="Forget the key").click()
    seen.expect(seen.page.get_by_role("dialog")).to_contain_text("asks for a key")
    assert secret not in str(seen.page.evaluate("({...localStorage, ...sessionStorage})"))
    seen.page.get_by_role("button", name="Cancel").click()
    seen.expect(seen.page.get_by_role("alert")).to_contain_text("API key")
    seen.expect(seen.page.get_by_role("button", name="Send")).to_be_disabled()
    seen.page.get_by_role("button", name="Give a key").click()
    seen.expect(seen.page.get_by_role("dialog")).to_be_visible()


def test_too_many_questions_are_told_with_the_time_to_wait(visit: Visits, guarded: Guarded) -> None:
    service, secret = guarded
    seen = visit(service, refusals=True)
    give(seen, secret)
    alert = seen.page.get_by_role("alert")
    for number in range(4):
        seen.ask(f"question {number}")
        seen.at_rest()
        if alert.inner_text():
            break
    seen.expect(alert).to_contain_text("requests a minute")
    seen.expect(alert.get_by_role("button")).to_contain_text("Try again in ")
    seen.expect(alert.get_by_role("button")).to_be_disabled()
    assert seen.page.locator(".user .text").last.inner_text() == f"question {number}"


def test_nothing_but_the_page_is_open_without_a_key(guarded: Guarded) -> None:
    service, _ = guarded
    for path in ("/", "/page/page.js", "/page/page.css", "/page/icon.svg"):
        assert service.get(path).status_code == 200
    for path in ("/page", "/page/", "/page/x", "//", "/index.html", "/page/files.py", "/v1/models", "/openapi.json"):
        assert service.get(path).status_code == 401
