import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.store import Config, DigestCache, Draft, Stage, Store, file_digest, root_digest, value_digest

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), PLAIN))
def test_a_value_has_one_digest_in_whatever_order(value: dict[str, object]) -> None:
    assert value_digest(value) == value_digest(dict(reversed(value.items())))


@settings(max_examples=50)
@given(PLAIN, PLAIN)
def test_other_values_have_other_digests(one: object, other: object) -> None:
    same = value_digest(one) == value_digest(other)
    assert same == (repr_sorted(one) == repr_sorted(other))


def repr_sorted(value: object) -> str:
    """Like ``repr``, whatever the order of keys."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {repr_sorted(value[key])}" for key in sorted(value)) + "}"
    return "[" + ", ".join(map(repr_sorted, value)) + "]" if isinstance(value, list) else repr(value)


def test_what_has_no_json_has_no_digest() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        value_digest({"rate": float("nan")})


def test_the_root_digest_is_that_of_model_signing() -> None:
    """SHA-256 over the raw digests, in the order of the names."""
    digests = {"b": "22" * 32, "a": "11" * 32}
    assert root_digest(digests) == hashlib.sha256(bytes.fromhex("11" * 32 + "22" * 32)).hexdigest()


def test_a_remembered_digest_is_used_and_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path, known = tmp_path / "file", tmp_path / "digests.jsonl"
    path.write_text("one")
    assert DigestCache(known).file(path) == file_digest(path)
    status = path.stat()
    path.write_text("two")
    assert DigestCache(known).file(path) == file_digest(path)
    path.write_text("six")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert DigestCache(known).file(path, trust_cache=False) == hashlib.sha256(b"six").hexdigest()


def test_a_damaged_line_is_passed_over(tmp_path: Path) -> None:
    path, known = tmp_path / "file", tmp_path / "digests.jsonl"
    path.write_text("one")
    DigestCache(known).file(path)
    for damage in ('["half a li', "3\n", '{"a": 1}\n', '["key", 5]\n', "\x00\xff\n"):
        known.write_bytes(damage.encode("latin-1") + known.read_bytes())
        assert DigestCache(known).file(path) == file_digest(path)


def test_a_wrong_memory_accuses_no_file(tmp_path: Path) -> None:
    def build(draft: Draft[Config, Config]) -> None:
        (draft.folder / "file").write_text("one")

    stage = Stage("one", 1, build, Config, Config)
    artifact, _ = Store(tmp_path).obtain(stage, {}, Config(), Config())
    known = tmp_path / "digests.jsonl"
    known.write_text(known.read_text().replace(artifact.manifest.files["file"].sha256, "ab" * 32))
    assert Store(tmp_path).obtain(stage, {}, Config(), Config()) == (artifact, True)
