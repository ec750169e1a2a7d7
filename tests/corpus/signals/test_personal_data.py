"""Personal data: what is found, what is left, and that masking takes out all that is found."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.corpus.signals.kinds import KINDS, Kind
from etymon.corpus.signals.personal import PLACEHOLDERS, find_personal, mask, mask_document, mask_row
from etymon.text.rows import Message, Row

FOUND: list[tuple[str, Kind]] = [
    ("bob.smith+x@mail.firma.co.uk", "email"),
    ("zhang_3@qq.com", "email"),
    ("jane@goodexample.com", "email"),
    ("müller@firma.de", "email"),
    ("bob@münchen.de", "email"),
    ("иван@почта.рф", "email"),
    ("+1 (415) 555-2671", "phone"),
    ("+49 30 901820", "phone"),
    ("+44 (0)20 7946 0958", "phone"),
    ("(415) 555-2671", "phone"),
    ("415.555.2671", "phone"),
    ("1-415-555-2671", "phone"),
    ("1 (415) 555-2671", "phone"),
    ("415 555 2671", "phone"),
    ("0049 30 901820", "phone"),
    ("0033 (0)1 42 68 53 00", "phone"),
    ("020 7946 0958", "phone"),
    ("030 901820", "phone"),
    ("0171 1234567", "phone"),
    ("044 668 18 00", "phone"),
    ("07911123456", "phone"),
    ("0612345678", "phone"),
    ("01 42 68 53 00", "phone"),
    ("030/901820", "phone"),
    ("03-1234-5678", "phone"),
    ("13800138000", "phone"),
    ("138 0013 8000", "phone"),
    ("010-62770334", "phone"),
    ("93.184.216.34", "ip"),
    ("2001:4860:4860::8888", "ip"),
    ("4111111111111111", "card"),
    ("4111 1111 1111 1111", "card"),
    ("3782-822463-10005", "card"),
    ("11010519491231002X", "identity_number"),
    ("11010519491231002x", "identity_number"),
]
LEFT = [
    "x@example.com", "root@server.local", "@cache", "a @ b.de", "x.@firma.de", "me@firma",
    "192.168.1.1", "10.0.0.1", "127.0.0.1", "192.0.2.1", "198.51.100.7", "224.0.0.251", "999.1.1.1", "1.2.3.4",
    "v93.184.216.34",    "1.3.6.1.4.1.311", "34.216.184.93.in-addr.arpa", "01.02.03.04",
    "2001:db8::1", "fe80::1", "::1", "12:30:45", "std::string", "a[::2]", "00:1b:44:11:3a:b7",
    "4111111111111112", "4503599627370496", "0000000000000000", "110105194912310021", "11010519491331002X",
    "+100 000 000", "1700000000", "1700000000000", "1,234,567,890", "3.14159265358979", "2024-01-02 03-04-05", "01-02-2024",
    "01/02/2024 10", "978-0-13-468599-1", "0306-40615-2", "ISSN 0028-0836", "0644 0755 0600", "1 2 3 4 5 6 7 8 9 10 11 12",
    "4111 1111 1111 1111 1234", "415 555 2671 300", "004930901820", "00014155552671", "0123456789", "0679783261",
    "/13800138000", "99 01 42 68 53 00", "415-555-26719", "0x13800138000",
]  # fmt: skip


@pytest.mark.parametrize(("written", "kind"), FOUND)
@pytest.mark.parametrize("around", ["{}", "Write to {}.", "({}),", "电话{}。", "a\n{}\nb", "{}, {}"])
def test_is_found_and_masked(written: str, kind: Kind, around: str) -> None:
    text = around.replace("{}", written)
    masked, counts = mask(text, KINDS)
    assert masked == around.replace("{}", PLACEHOLDERS[kind])
    assert counts == dict.fromkeys(KINDS, 0) | {kind: around.count("{}")}


@pytest.mark.parametrize("written", LEFT)
def test_is_left(written: str) -> None:
    assert mask(f"See {written} here.", KINDS)[0] == f"See {written} here."


def test_only_the_kinds_that_are_asked_for_are_masked_and_all_are_counted() -> None:
    masked, counts = mask("bob@firma.de, 93.184.216.34", ["ip"])
    assert masked == "bob@firma.de, <IP>"
    assert counts["email"] == counts["ip"] == 1


def test_of_two_that_overlap_one_is_taken() -> None:
    assert mask("13800138000@qq.com", KINDS) == ("<EMAIL>", dict.fromkeys(KINDS, 0) | {"email": 1})
    assert mask("13800138000@qq.com", ["phone"])[0] == "13800138000@qq.com", "it is an address, though of digits"


def test_a_card_may_be_followed_by_its_expiry_and_words_by_an_address() -> None:
    assert mask("4111 1111 1111 1111 12/27", KINDS)[0] == "<CARD> 12/27"
    assert mask("3782 822463 10005 1234", KINDS)[0] == "<CARD> 1234"
    assert mask("请写信到zhang@qq.com或致电", KINDS)[0] == "请写信到<EMAIL>或致电"
    assert mask("이메일은bob@naver.com로", KINDS)[0] == "이메일은<EMAIL>로"


def test_what_is_hidden_in_a_row_is_masked_in_it_too() -> None:
    row = Row("Call", ("415\0-555-2671",)).to_json()
    text, masked, counts = mask_document("Call\n\n415-555-2671", row, KINDS)
    assert (text, masked) == ("Call\n\n<PHONE>", Row("Call", ("<PHONE>",)).to_json())
    assert counts["phones"] == 1


def test_rows_are_masked_in_all_that_is_said() -> None:
    row = Row((Message("system", "I am a@firma.de."), Message("user", "Who?")), ("a@firma.de", "b@firma.de"), None)
    masked, counts = mask_row(row, ["email"])
    assert masked == Row((Message("system", "I am <EMAIL>."), Message("user", "Who?")), ("<EMAIL>", "<EMAIL>"), None)
    assert counts["email"] == 3
    assert mask_row(Row("Call +49 30 901820", ("No",), True), KINDS)[0] == Row("Call <PHONE>", ("No",), True)


def test_a_row_is_written_anew_only_where_something_is_masked() -> None:
    row = Row("Who?", ("a@firma.de",)).to_json()
    text, masked, counts = mask_document("Who?\n\na@firma.de", row, ["email"])
    assert (text, masked) == ("Who?\n\n<EMAIL>", Row("Who?", ("<EMAIL>",)).to_json())
    assert counts == {"emails": 1, "phones": 0, "ips": 0, "cards": 0, "identity_numbers": 0}
    odd = '{"answers": ["a@firma.de"], "prompt": "Who?"}'
    assert mask_document("Who?\n\na@firma.de", odd, ["ip"])[1] == odd
    assert mask_document("No one.", None, KINDS)[:2] == ("No one.", None)


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    found = find_personal(text)
    assert all(0 <= begin < end <= len(text) for _, begin, end in found)
    assert all(one[2] <= next_[1] for one, next_ in pairwise(found))


@given(st.lists(st.sampled_from([written for written, _ in FOUND] + LEFT + ["and", "或", "1998"]), max_size=8))
def test_what_is_masked_is_gone(pieces: list[str]) -> None:
    masked, _ = mask(", ".join(pieces), KINDS)
    assert mask(masked, KINDS) == (masked, dict.fromkeys(KINDS, 0))


@given(st.text("0123456789 .-:+()@ax", max_size=60))
def test_masking_takes_nothing_else(text: str) -> None:
    masked, counts = mask(text, KINDS)
    rebuilt, end = [], 0
    for kind, begin, stop in find_personal(text):
        rebuilt += [text[end:begin], PLACEHOLDERS[kind]]
        end = stop
    assert masked == "".join(rebuilt) + text[end:]
    assert sum(counts.values()) == len(rebuilt) // 2
