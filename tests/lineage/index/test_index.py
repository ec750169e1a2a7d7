"""Who is found again by its fingerprint, and what a fingerprint is as a file."""

import json
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent))

from lineage_models import VOCABULARY, random_model, tensors_of, train, with_traces
from lineage_transforms import (
    Tensors,
    composed,
    drop_layers,
    fold_gains,
    fuse,
    noise,
    permute_neurons,
    permute_residual,
    rename_words,
    repeat_layers,
    rescale_neurons,
    rotate_residual,
    write_weights,
)

from etymon.errors import EtymonError
from etymon.evidence.keys import load_public, new_key
from etymon.lineage.compare import opened
from etymon.lineage.index.exchange import export_fingerprints, import_fingerprints
from etymon.lineage.index.file import LARGEST, fingerprint_bytes, read_fingerprint
from etymon.lineage.index.fingerprint import Fingerprint, take_fingerprint
from etymon.lineage.index.folder import Index, Origin
from etymon.lineage.index.preliminary import Preliminary, compare_fingerprints
from etymon.lineage.index.search import likeness, pack, shortlist
from etymon.lineage.index.searched import Searched
from etymon.lineage.index.tokens import SEARCHED, TOKENS, token_rows

Transform = Callable[[Tensors], Tensors]

ROWS = [*(token.replace(" ", "Ġ").replace("\n", "Ċ") for token in TOKENS), *(f"more{n}" for n in range(VOCABULARY - 256))]


def tokenizer_of(tokens: list[str]) -> str:
    return json.dumps({"model": {"type": "BPE", "vocab": {token: row for row, token in enumerate(tokens)}}})


TOKENIZER = tokenizer_of(ROWS)


def digest_of(number: int) -> str:
    return f"{number:064x}"


def taken(folder: Path, tensors: Tensors, number: int = 0, tokenizer: str | None = TOKENIZER) -> Fingerprint:
    side = opened(write_weights(folder, tensors, tokenizer), folder.name)
    return take_fingerprint(side, weights=digest_of(number), source="hf:some/model", license="Apache-2.0")


def compared(
    folder: Path, tensors: Tensors, fingerprints: list[Fingerprint], tokenizer: str = TOKENIZER
) -> list[Preliminary]:
    side = opened(write_weights(folder, tensors, tokenizer), folder.name)
    return compare_fingerprints(side, fingerprints)


@pytest.fixture(scope="session")
def base() -> Tensors:
    """A model of eight layers, for with few no layer map stands out."""
    return with_traces(tensors_of(train(random_model(1, num_hidden_layers=8), 60)), 1)


@pytest.fixture(scope="session")
def others() -> list[Tensors]:
    """Models of the same recipe from other starts."""
    return [with_traces(tensors_of(train(random_model(seed, num_hidden_layers=8), 60)), seed) for seed in range(2, 8)]


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory, base: Tensors, others: list[Tensors]) -> list[Fingerprint]:
    folder = tmp_path_factory.mktemp("known")
    return [taken(folder / f"model{n}", tensors, n) for n, tensors in enumerate([base, *others])]


def shuffled(tensors: Tensors) -> tuple[Tensors, str]:
    """Another order of the vocabulary, and SentencePiece's spelling."""
    order = np.random.default_rng(0).permutation(VOCABULARY)
    changed = {name: values[order] if "embed" in name else values for name, values in tensors.items()}
    return changed, tokenizer_of([ROWS[row].replace("Ġ", "▁").replace("Ċ", "<0x0A>") for row in order])


TRANSFORMS: dict[str, Transform] = {
    "the same": dict,
    "noise": lambda tensors: noise(tensors, 0.2),
    "fused, other words": composed(fuse, rename_words),
    "gains folded": fold_gains,
    "residual stream reordered": permute_residual,
    "rotated, neurons reordered and rescaled": composed(rotate_residual, permute_neurons, rescale_neurons),
    "layers removed": lambda tensors: drop_layers(tensors, {2, 5}),
    "layers repeated": lambda tensors: repeat_layers(tensors, [0, 1, 2, 3, 2, 3, 4, 5, 6, 7]),
    "all of it": composed(
        rotate_residual, permute_neurons, rescale_neurons, lambda t: noise(t, 0.1), lambda t: drop_layers(t, {4})
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_changed_copy_is_found_first_and_is_the_only_candidate(
    tmp_path: Path, base: Tensors, known: list[Fingerprint], name: str
) -> None:
    changed = TRANSFORMS[name](base)
    packed = pack({each.about.weights: each.searched for each in known})
    found = likeness(taken(tmp_path / "copy", changed, 99).searched, packed)
    assert found.score.argmax() == 0
    results = compared(tmp_path / "copy", changed, known)
    assert [each.is_candidate for each in results] == [True, *([False] * 6)]
    assert results[0].effect is not None
    assert results[0].effect > 0.5


def test_a_shuffled_vocabulary_in_another_spelling_changes_nothing(
    tmp_path: Path, base: Tensors, known: list[Fingerprint]
) -> None:
    tensors, tokenizer = shuffled(base)
    found = taken(tmp_path / "copy", tensors, tokenizer=tokenizer)
    np.testing.assert_array_equal(found.searched.has_token, known[0].searched.has_token)
    assert np.abs(found.searched.tokens.astype(int) - known[0].searched.tokens).max() <= 1
    (result,) = compared(tmp_path / "copy", tensors, known[:1], tokenizer)
    assert result.is_candidate


def test_without_a_vocabulary_the_layers_alone_are_searched(tmp_path: Path, base: Tensors, known: list[Fingerprint]) -> None:
    found = taken(tmp_path / "copy", rotate_residual(base), tokenizer=None)
    assert not found.searched.has_token.any()
    assert found.responses.layers == ()
    likely = likeness(found.searched, pack({each.about.weights: each.searched for each in known}))
    assert np.isnan(likely.tokens).all()
    (tmp_path / "file.safetensors").write_bytes(fingerprint_bytes(found))
    again = read_fingerprint(tmp_path / "file.safetensors")
    np.testing.assert_array_equal(again.searched.layers, found.searched.layers)
    assert likely.score.argmax() == 0


def test_tokens_are_found_in_every_spelling() -> None:
    vocabulary = {"▁the": 3, "<0x41>": 4, "Ġof": 5, "Ċ": 6, "<0x42>": 7, "B": 8, "z": 99}
    rows = dict(zip(TOKENS, token_rows(vocabulary, 50).tolist(), strict=True))
    assert {token: row for token, row in rows.items() if row >= 0} == {" the": 3, "A": 4, " of": 5, "\n": 6, "B": 8}
    assert len(set(TOKENS)) == 256
    assert len(TOKENS) == 256


def test_a_file_holds_what_was_taken_and_keeps_its_sizes(tmp_path: Path, known: list[Fingerprint]) -> None:
    content = fingerprint_bytes(known[0])
    assert len(content) <= LARGEST
    searched = known[0].searched
    assert searched.tokens.nbytes + searched.layers.nbytes + len(np.packbits(searched.has_token)) <= 4096
    path = tmp_path / "one.safetensors"
    path.write_bytes(content)
    again = read_fingerprint(path)
    assert again.about == known[0].about
    assert fingerprint_bytes(again) == content


@settings(max_examples=200)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_but_never_anything_else(
    tmp_path_factory: pytest.TempPathFactory, known: list[Fingerprint], data: st.DataObject
) -> None:
    content = bytearray(fingerprint_bytes(known[0]))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 1500) | st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    with suppress(EtymonError):
        read_fingerprint(path)


def test_names_with_control_characters_are_refused(tmp_path: Path, known: list[Fingerprint]) -> None:
    path = tmp_path / "one.safetensors"
    path.write_bytes(fingerprint_bytes(known[0]).replace(b"hf:some/model", b"hf:som\\u001b["))
    with pytest.raises(EtymonError, match="source"):
        read_fingerprint(path)


def test_an_index_knows_what_was_added_and_removed(tmp_path: Path, known: list[Fingerprint]) -> None:
    index = Index(tmp_path / "index")
    assert index.packed().weights == ()
    for fingerprint in known:
        index.add(fingerprint, Origin(opened_by="a folder"))
    assert index.packed().weights == tuple(digest_of(n) for n in range(7))
    index.remove(digest_of(3))
    assert digest_of(3) not in index.packed().weights
    before = index.packed()
    (index.folder / "packed.safetensors").write_bytes(b"damaged")
    np.testing.assert_array_equal(index.packed().tokens, before.tokens)
    assert index.origin(digest_of(0)).in_words() == "made here"
    (index.folder / f"{digest_of(0)}.json").unlink()
    assert index.origin(digest_of(0)).in_words() == "imported, unsigned"


PASSWORD = "correct horse"


def keys(folder: Path) -> tuple[Path, Path]:
    """A private key and its public one, as `etymon keys new` makes them."""
    new_key(folder / "key.pem", PASSWORD)
    return folder / "key.pem", folder / "key.pem.pub"


def test_an_archive_is_signed_and_a_change_to_it_is_seen(tmp_path: Path, known: list[Fingerprint]) -> None:
    key, public = keys(tmp_path / "mine")
    _, other = keys(tmp_path / "other")
    archive = tmp_path / "fingerprints.zip"
    export_fingerprints(archive, known[:2], key, PASSWORD)
    imported = import_fingerprints(archive, public)
    assert [each.about for each in imported.fingerprints] == [each.about for each in known[:2]]
    assert imported.signer == load_public(public).id
    assert import_fingerprints(archive, None).signer is None
    with pytest.raises(EtymonError, match="no private key that can be read"):
        export_fingerprints(archive, known[:2], key, "wrong")
    with pytest.raises(EtymonError, match=r"not by key\.pem\.pub"):
        import_fingerprints(archive, other)
    changed = archive.read_bytes().replace(b'"kind"', b'"Kind"')
    (tmp_path / "changed.zip").write_bytes(changed)
    with pytest.raises(EtymonError, match="cannot be imported"):
        import_fingerprints(tmp_path / "changed.zip", public)
    export_fingerprints(archive, known[:2], None)
    with pytest.raises(EtymonError, match="it is not signed"):
        import_fingerprints(archive, public)
    assert import_fingerprints(archive, None).signer is None


def test_an_archive_with_anything_else_in_it_is_refused(tmp_path: Path, known: list[Fingerprint]) -> None:
    archive = tmp_path / "fingerprints.zip"
    export_fingerprints(archive, known[:1], None)
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("../elsewhere.safetensors", b"")
    with pytest.raises(EtymonError, match="other files"):
        import_fingerprints(archive, None)
    with pytest.raises(EtymonError, match="no private key"):
        export_fingerprints(archive, known[:1], archive)


def test_few_are_all_shortlisted_and_of_many_the_nearest_and_the_clear_ones() -> None:
    rng = np.random.default_rng(0)

    def part() -> Searched:
        every = np.ones(SEARCHED, bool)
        return Searched(every, rng.integers(-90, 90, 3486).astype(np.int8), rng.integers(-90, 90, 465).astype(np.int8))

    query = part()
    assert shortlist(likeness(query, pack({digest_of(n): part() for n in range(25)}))).all()
    many = {digest_of(n): part() for n in range(200)} | {digest_of(1000 + n): query for n in range(60)}
    chosen = shortlist(likeness(query, pack(many)))
    assert chosen[200:].all()
    assert 87 <= chosen.sum() < 260


def test_an_export_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key", "utf-8")
    with pytest.raises(EtymonError):
        export_fingerprints(tmp_path / "known.zip", [], tmp_path / "key.pem")
    assert [path.name for path in tmp_path.iterdir()] == ["key.pem"]
