"""A quantised copy of the declared base, which declares itself one, is what the weights were compared with."""

from dataclasses import replace
from pathlib import Path

from rebadged import with_card

from etymon.evidence.review.claims import Claims, read_claims
from etymon.evidence.review.origin import origin_findings
from etymon.evidence.review.records import Finding, Kin
from etymon.evidence.review.technical import precision_finding
from etymon.foundation.model import ModelFacts

QUANTISED = Kin(
    name="big-q4",
    source="pypi:big==1#big.gguf",
    digest="a",
    weights="b",
    license=None,
    verdict="related",
    direction="model from parent",
    unchanged=False,
    change=0.01,
    says="It derives from big-q4.",
    lattice=("Q4_1",),
    quantised_from=("hf:org/Big",),
)
FACTS = ModelFacts(
    architecture="", model_type="", parameters=1, embedding_parameters=0, layers=1, width=1, context_length=1, vocabulary=1,
    dtype="float32", license=None, source="", files={}, has_chat_template=False,
)  # fmt: skip


def claimed(folder: Path) -> Claims:
    return read_claims(with_card(folder, "# Nova", base_model="org/Big"), ("README.md",), "nova", str(folder))


def by_topic(claims: Claims, *kin: Kin) -> dict[str, Finding]:
    return {each.topic: each for each in origin_findings(claims, kin, (), "")}


def test_it_stands_for_the_base_that_it_names(tmp_path: Path) -> None:
    found = by_topic(claimed(tmp_path), QUANTISED)
    assert found["Base model"].status == "established"
    assert "declares itself quantised from org/Big" in found["Base model"].measured
    assert "Another origin" not in found


def test_the_base_itself_counts_where_it_is_at_hand(tmp_path: Path) -> None:
    base = {"name": "Big", "source": "hf:org/Big", "verdict": "independent", "quantised_from": (), "lattice": ()}
    found = by_topic(claimed(tmp_path), QUANTISED, QUANTISED.model_copy(update=base))
    assert found["Base model"].status == "contradicted"


def test_inherited_quantisation_is_a_remark_and_hidden_one_a_contradiction(tmp_path: Path) -> None:
    claims = replace(claimed(tmp_path), config={"torch_dtype": "float32"})
    inherited = precision_finding(claims, FACTS, [QUANTISED])
    assert inherited.status == "established"
    assert "had been quantised" in inherited.measured
    hidden = precision_finding(claims, FACTS, [QUANTISED.model_copy(update={"quantised_from": ()})])
    assert hidden.status == "contradicted"
