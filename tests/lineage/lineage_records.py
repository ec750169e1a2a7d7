"""Records of lineages as a comparison writes them, for what only reads them."""

from typing import Any

from etymon.lineage.test.records import AgreementTest, Decoys, LayerEvidence
from etymon.lineage.verdict import Lineage, Sizes, TensorChange

SIZES = Sizes(layers=9, width=64, neurons=192, key_width=32, vocabulary=512)


def agreement_test(share: float, p_value: float, layers: int = 9, sampled: int = 128) -> AgreementTest:
    """Layers in order of which a share agrees, and two neurons of every other pair of layers."""
    agreeing = round(share * sampled)
    counts = tuple(tuple(agreeing if there == here else 2 for here in range(layers)) for there in range(layers))
    decoys = layers * (layers - 1)
    return AgreementTest(
        kind="neurons",
        p_value=p_value,
        p_floor=1e-4,
        effect=share,
        power=0.95,
        layers=tuple(
            LayerEvidence(
                parent_layer=layer, model_layer=layer, agreeing=agreeing, sampled=sampled,
                p_value=1 / (decoys + 1) if agreeing > 2 else 1.0,
            )
            for layer in range(layers)
        ),
        decoys=Decoys(count=decoys, mean_share=2 / sampled, largest_share=2 / sampled),
        agreement=counts,
        sampled=sampled,
    )  # fmt: skip


def changes_of(relative: float, layers: int = 9) -> tuple[TensorChange, ...]:
    """Every matrix changed as much, norms not at all."""
    roles = {"q": relative, "v": relative, "gate": relative / 3, "up": relative, "down": relative, "mlp norm": 0.0}
    return tuple(
        TensorChange(role=role, layer=layer, tensor=f"{layer}.{role}", parameters=4096, relative=change, canonical=False)
        for layer in range(layers)
        for role, change in roles.items()
    )


def record(**changes: Any) -> Lineage:
    """A related pair of which every matrix has changed; any field can be given."""
    p_value = changes.get("p_value", 1e-4)
    test = agreement_test(1.0 if changes.get("verdict", "related") == "related" else 0.01, p_value or 1.0)
    values: dict[str, Any] = {
        "model": "child", "parent": "base", "verdict": "related", "identical": False, "direction": "unknown",
        "direction_reason": "nothing in the weights shows which came first", "p_value": p_value, "p_floor": 1e-4,
        "deciding": "neurons", "effect": test.effect, "power": 0.95, "tests": (test,),
        "layer_map": tuple((layer, layer) for layer in range(9)),
        "alignment": None, "identical_tensors": (), "tensors": 60, "changed_share": 1.0, "changes": changes_of(0.1),
        "change_by_role": {"q": 0.1, "gate": 0.03}, "model_sizes": SIZES, "parent_sizes": SIZES, "same_architecture": True,
        "same_vocabulary": True, "shared_tokens": 512, "reasons": ("100.0% of the sampled neurons are found again.",),
        "limits": ("A common random start or early checkpoint counts as a relation.",),
    }  # fmt: skip
    return Lineage(**{**values, **changes})
