"""What files and headers show by themselves: size, shape, precision, signature, and what is claimed that no file can show."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from etymon.evidence.review.claims import ClaimedScore, Claims
from etymon.evidence.review.records import Finding, Kin, Status
from etymon.foundation.card import CARD
from etymon.foundation.model import ModelFacts

_NEAR, _FAR = 0.10, 0.30
"""Names round sizes, and some leave embeddings out: Gemma's 7B has 8.5, 7.8 of them outside its embedding. What is off by
more than the second share, counted either way, is another size."""
_CONFIG = "config.json"
_KEYS = {"layers": "num_hidden_layers", "width": "hidden_size", "vocabulary": "vocab_size"}


@dataclass(frozen=True)
class Shape:
    """What the tensors show; 0 where they do not."""

    layers: int
    width: int
    vocabulary: int


@dataclass(frozen=True)
class Signature:
    """What came of the signature beside the weights."""

    signed: bool
    """There is one."""
    problems: tuple[str, ...] | None
    """What is wrong with it; None where no key was given to check it."""
    signer: str = ""
    strangers: tuple[str, ...] = ()
    """Who signed it instead, where the keys that were given are those of others."""
    looked_for: bool = True
    """False where only some of the publisher's files were fetched."""


@dataclass(frozen=True)
class Score:
    """A score of the same model that was measured in this workspace."""

    task: str
    metric: str
    value: float
    low: float | None
    high: float | None
    artifact: str


def size_findings(claims: Claims, facts: ModelFacts, shape: Shape) -> Iterator[Finding]:
    """Parameters and shape."""
    if claims.parameters:
        count, words, where = claims.parameters
        outside = facts.parameters - facts.embedding_parameters
        off = min(abs(count / each - 1) for each in (facts.parameters, outside) if each) if facts.parameters else 1.0
        status: Status = "established" if off <= _NEAR else "contradicted" if off > _FAR else "unknown"
        yield Finding(
            topic="Parameters",
            claim=f"{words}.",
            where=where,
            status=status,
            measured=f"{facts.parameters:,} in the weights, {outside:,} of them outside the embeddings.",
            ask="" if status == "established" else f"What is counted as {words}, and are all of the weights here?",
        )
    shown = {"layers": shape.layers, "width": shape.width, "vocabulary": shape.vocabulary}
    claimed = {name: claims.config.get(key) for name, key in _KEYS.items()}
    known = {name: value for name, value in claimed.items() if isinstance(value, int) and shown[name]}
    if known:
        wrong = any(value != shown[name] for name, value in known.items())
        yield Finding(
            topic="Shape",
            claim=", ".join(f"{name} {value:,}" for name, value in known.items()) + ".",
            where=_CONFIG,
            status="contradicted" if wrong else "established",
            measured="The tensors show " + ", ".join(f"{name} {shown[name]:,}" for name in known) + ".",
            ask="Does this config belong to these weights?" if wrong else "",
        )


def precision_finding(claims: Claims, facts: ModelFacts, origins: Sequence[Kin]) -> Finding:
    """How many bits the values have, by what is stored and by what their own lattice shows."""
    claimed = next((claims.config[key] for key in ("dtype", "torch_dtype") if isinstance(claims.config.get(key), str)), None)
    declared = claims.relation == "quantized" or "quantization_config" in claims.config
    lattice = next((" and ".join(each.lattice) for each in origins if each.lattice), "")
    earlier = next((each.name for each in origins if each.lattice and each.quantised_from), "")
    measured = f"Stored as {facts.dtype}."
    if earlier:
        measured += f" The values show the lattice of {lattice}: {earlier}, which it was made from, had been quantised."
    elif lattice:
        measured += f" The values lie on the lattice of {lattice}: they were quantised, and what that took is gone."
    hidden = bool(lattice) and not declared and not earlier
    differs = claimed is not None and not declared and claimed.removeprefix("torch.") != facts.dtype
    status: Status = "contradicted" if claimed and (hidden or differs) else "established"
    return Finding(
        topic="Precision",
        claim=f"{claimed}{', quantised' if declared else ''}." if claimed else "",
        where=_CONFIG if claimed else "",
        status=status,
        measured=measured,
        ask="" if status == "established" else "In which precision was the model trained, and how was it converted?",
    )


def signature_finding(signature: Signature, digest: str) -> Finding:
    """Who vouches for these very files."""
    measured = f"Root digest of all files {digest[:16]}…."
    if not signature.signed and not signature.looked_for:
        told = f"Not looked for: of a repository only weights, config, tokenizer and card are fetched. {measured}"
        ask = "If the model is signed, download all of its repository and review the folder."
        return Finding(topic="Signature", claim="", status="unknown", measured=told, ask=ask)
    if not signature.signed:
        ask = f"Please confirm the root digest {digest[:16]}… by another way than the download, or sign the model."
        return Finding(topic="Signature", claim="", status="unknown", measured=f"No signature. {measured}", ask=ask)
    claim, where = "The files are signed.", "model.sig"
    if signature.strangers:
        who = " and ".join(signature.strangers)
        told = f"Not checked: it says that it is signed by {who}, and the keys that were given are others."
        ask = f"Please supply the public key of {who} by another way than the download."
        return Finding(topic="Signature", claim=claim, where=where, status="unknown", measured=told, ask=ask)
    if signature.problems is None:
        told = "Not checked: no key of a signer was given (--key)."
        ask = "Please supply the public key of the signer by another way than the download."
        return Finding(topic="Signature", claim=claim, where=where, status="unknown", measured=told, ask=ask)
    if signature.problems:
        told = " ".join(dict.fromkeys(signature.problems[:5]))
        ask = "Please supply the files again, as they were signed."
        return Finding(topic="Signature", claim=claim, where=where, status="contradicted", measured=told, ask=ask)
    told = f"Every file that it covers is as {signature.signer[:16]}… signed it. {measured}"
    return Finding(topic="Signature", claim=claim, where=where, status="established", measured=told)


def score_findings(claimed: Sequence[ClaimedScore], measured: Sequence[Score]) -> Iterator[Finding]:
    """Scores of the card, beside those that were measured here of the same model."""
    known = {(each.task, each.metric): each for each in measured}
    unknown = [each for each in claimed if (each.task, each.metric) not in known]
    for each in claimed:
        if score := known.get((each.task, each.metric)):
            value = each.value / 100 if each.value > 1 >= abs(score.value) else each.value
            within = score.low is not None and score.high is not None and score.low <= value <= score.high
            interval = (
                f" (95% {score.low:.4f} to {score.high:.4f})" if score.low is not None and score.high is not None else ""
            )
            yield Finding(
                topic=f"Score on {each.task}",
                claim=f"{each.metric} {each.value:g}.",
                where=CARD,
                status="established" if within else "unknown",
                measured=f"{score.value:.4f}{interval} here, by {score.artifact}."
                + ("" if within else " Whether it was put to the model in the same form is not known."),
                ask=""
                if within
                else f"With which prompt, shots and judge was {each.task} measured? Please supply the answers.",
            )
    if unknown:
        listed = ", ".join(f"{each.task} {each.metric} {each.value:g}" for each in unknown[:8])
        more = f", and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        yield Finding(
            topic="Scores",
            claim=f"{listed}{more}.",
            where=CARD,
            status="unknown",
            measured="Not measured here: `etymon board add MODEL` does it.",
            ask="Please supply the answer to every question behind these scores, and the form in which they were put.",
        )


def declared_findings(claims: Claims, files: Mapping[str, str]) -> Iterator[Finding]:
    """What no file can show: who made it, under whose laws, on what, for which languages."""
    who = f"{'; '.join(claims.publisher)}." if claims.publisher else ""
    laws = f" The licence or card names the laws of {', '.join(claims.laws)}." if claims.laws else ""
    yield Finding(
        topic="Publisher and jurisdiction",
        claim=f"{who}{laws}".strip(),
        where=CARD if CARD in files else "",
        status="unknown",
        measured=f"{'' if who else 'No publisher is named. '}Nothing in the files shows who made them, or where.",
        ask="Which legal entity published the model, in which country, and whose law and export rules apply?",
    )
    yield Finding(
        topic="Training data",
        claim=f"Trained on {', '.join(claims.datasets[:8])}." if claims.datasets else "",
        where=CARD if CARD in files else "",
        status="unknown",
        measured="The weights do not show what they were trained on; --corpus tests for texts that you hold.",
        ask="What was the model trained on, under which licences, and was personal data among it?",
    )
    if claims.languages:
        yield Finding(
            topic="Languages",
            claim=", ".join(claims.languages) + ".",
            where=CARD,
            status="unknown",
            measured="Not measured.",
            ask="How good is the model in each of these languages, by which test?",
        )
    context = next(
        (claims.config[key] for key in ("max_position_embeddings", "n_positions") if isinstance(claims.config.get(key), int)),
        None,
    )
    if context:
        yield Finding(
            topic="Context",
            claim=f"{context:,} tokens.",
            where=_CONFIG,
            status="unknown",
            measured="The config allows it; whether the model makes use of it was not measured.",
            ask=f"Up to which length was the model trained, and how does it do at {context:,} tokens?",
        )
