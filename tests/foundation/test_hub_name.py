import pytest

from etymon.foundation.hub_name import hub_name


@pytest.mark.parametrize(
    "written",
    [
        "org/Base-1.0", "Org/base-1.0", " hf:org/base-1.0@0123abc ", "hf:Org/Base-1.0", "https://huggingface.co/org/base-1.0",
        "https://huggingface.co/org/base-1.0/", "https://hf.co/org/Base-1.0/tree/main", "hf://org/base-1.0@refs/pr/1",
    ],
)  # fmt: skip
def test_a_model_has_one_name_however_it_is_written(written: str) -> None:
    assert hub_name(written) == "org/base-1.0"


@pytest.mark.parametrize(
    "other", ["Tiny-Docs", "/data/Models/Base", "./Models", "pypi:a-b==1.0#x/y.gguf", "../up", "a/b/c", ""]
)
def test_what_is_no_name_of_the_hub_stays_as_it_is(other: str) -> None:
    assert hub_name(other) == other
