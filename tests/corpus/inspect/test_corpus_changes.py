"""Examples of what was done to texts."""

from hypothesis import given
from hypothesis import strategies as some

from etymon.corpus.inspect.examples import changes, pieces
from etymon.corpus.inspect.opened import OpenCorpus


def test_repairs_and_masks_are_shown_and_personal_data_is_not(opened: OpenCorpus) -> None:
    found = changes(opened)
    mended = next(each for each in found.repairs if each.unit == "mended.txt")
    assert "€" in "".join(text for kind, text in mended.pieces if kind == "new")
    (masked,) = found.masked
    assert masked.unit == "letter.txt"
    assert "<EMAIL>" in "".join(text for kind, text in masked.pieces if kind != "gone")
    shown = "".join(text for _, text in masked.pieces)
    assert not any(part in shown for part in ("jane", "doe", "harbour-office"))
    email = next(each for each in found.personal if each.kind == "email")
    assert (email.documents, email.found) == (1, 1)
    assert 1 <= found.repaired < found.looked_at


@given(some.text(max_size=400), some.text(max_size=20), some.text(max_size=20), some.text(max_size=400))
def test_pieces_tell_both_texts_around_the_first_difference(before: str, one: str, other: str, after: str) -> None:
    first, second = before + one + after, before + other + after
    shown = pieces(first, second)
    if first == second:
        assert shown == ()
        return
    kept = [(kind, text) for kind, text in shown if text != "…" or kind != "same"]
    assert "".join(text for kind, text in kept if kind != "new") in first
    assert "".join(text for kind, text in kept if kind != "gone") in second
    assert any(kind != "same" for kind, _ in kept)
