"""The first line of a lineage, and the reasons under it."""

from lineage_records import agreement_test, record

from etymon.lineage.explain import explain
from etymon.lineage.verdict import Evidence, Finding, decide


def test_two_layers_are_not_said_to_lie_beyond_chance() -> None:
    few = agreement_test(1.0, 1.0, layers=2)
    told = explain(record(verdict="inconclusive", p_value=1.0, tests=(few,), effect=few.effect))[0]
    assert "100% of neurons agree" in told
    assert "beyond chance" not in told
    assert "beyond chance in 12 of 12 layers" in explain(record(tests=(agreement_test(1.0, 1e-4, layers=12),)))[0]


def test_the_deciding_test_is_named_though_both_show_as_much() -> None:
    neurons = agreement_test(1.0, 0.5)
    planes = neurons.model_copy(update={"kind": "attention planes", "p_value": 1e-4})
    told = explain(record(tests=(neurons, planes), deciding="attention planes", effect=1.0))[0]
    assert "100% of attention planes agree" in told


def test_reasons_tell_a_bound_from_a_share_and_what_a_test_shows() -> None:
    neurons, planes = Finding("neurons", 1e-20, 0.9, 1.0), Finding("attention planes", 0.4, 0.03, 1.0)
    verdict, reasons = decide(Evidence(2e-20, (neurons, planes), identical=False, shared_matrices=0, shared_share=0.0))
    assert verdict == "related"
    assert "at most a share of 1e-20 of all orders of the layers" in reasons[0]
    assert reasons[1].endswith("which by itself shows nothing (p = 0.4).")
    drawn = Finding("neurons", 0.002, 0.9, 1.0)
    _, reasons = decide(Evidence(0.002, (drawn,), identical=False, shared_matrices=0, shared_share=0.0))
    assert "drawn at random, a share of 0.002 agree as much" in reasons[0]
