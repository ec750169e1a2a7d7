"""Waivers on the command line."""

import pytest

from etymon.cli.make import read_waivers
from etymon.errors import EtymonError
from etymon.recipe import Waiver


def test_one_reason_is_for_all_or_each_has_its_own() -> None:
    both = read_waivers(["license-not-allowed:poems", "origin-missing"], ["by letter"])
    assert both == (
        Waiver(rule="license-not-allowed", source="poems", reason="by letter"),
        Waiver(rule="origin-missing", source=None, reason="by letter"),
    )
    assert [each.reason for each in read_waivers(["a", "b"], ["one", "two"])] == ["one", "two"]
    assert read_waivers(None, None) == ()


@pytest.mark.parametrize(
    ("waive", "reasons"), [(["a"], None), (None, ["why"]), (["a"], [" "]), (["a", "b", "c"], ["x", "y"])]
)
def test_a_waiver_without_a_reason_is_refused(waive: list[str] | None, reasons: list[str] | None) -> None:
    with pytest.raises(EtymonError, match="Every waiver has a reason"):
        read_waivers(waive, reasons)
