"""The contamination probe: does a part of a packed row notice its neighbours?

One part's tokens are replaced, and every part that does not continue it must keep its logits to the last bit. The same
change in Transformers' own path with its default cache shows what packing without segments lets through.

Shape suffixes: T tokens of a row, N tokens of a chunk of one part, D model width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from etymon.foundation.head import head_logits, hidden_states, scale_for_head
from etymon.foundation.segments import ATTENTION, Segments, check_packable

_CHUNK = 256
"""Positions whose logits are compared at a time: 100 MB of fp32 at a vocabulary of 49,152, twice."""


@dataclass(frozen=True)
class ProbeRow:
    """One change and what it did, as largest absolute differences of logits."""

    changed: str
    """Whose tokens were replaced: ``document 1``, or ``answer 2`` of two to one prompt."""
    own_change: float
    """In the part itself. Zero would mean that the probe can show nothing."""
    leaked: float
    """In the parts that must not notice."""
    leaked_by_default: float | None
    """The same in Transformers' own path; None for two answers to one prompt, which it cannot express."""


@dataclass(frozen=True)
class Probe:
    """The result for one network."""

    rows: tuple[ProbeRow, ...]

    @property
    def largest_logit_change(self) -> float:
        """Over all parts that must not notice: 0.0 where nothing leaks."""
        return max(row.leaked for row in self.rows)

    @property
    def largest_change_by_default(self) -> float:
        """The same in Transformers' own path."""
        return max(row.leaked_by_default or 0.0 for row in self.rows)

    @property
    def clean(self) -> bool:
        """Nothing leaked, and each change was seen where it was made."""
        return self.largest_logit_change == 0 and all(row.own_change > 0 for row in self.rows)


def probe_contamination(network: PreTrainedModel, documents: Sequence[Sequence[int]]) -> Probe:
    """Replace each document in turn in a row of all, then each of two answers to one prompt (made of the documents' halves).

    ``network`` is prepared by ``prepare_packed`` and left so. Two or more documents of at least two tokens each; a few
    hundred tokens are enough, more than its sliding window where a model has one. Raises EtymonError where their lengths
    cannot share a row. Experts may move logits in the last bits, because how many tokens an expert is given changes its sums.
    """
    assert len(documents) > 1, "one document has no neighbour"
    lengths = [len(document) for document in documents]
    check_packable(network.config, min(lengths), max(lengths))
    ids = [torch.tensor(list(document), device=network.device) for document in documents]
    side_by_side = Segments.of_documents(lengths)
    rows = [_probe(network, ids, side_by_side, part, f"document {part + 1}") for part in range(len(ids))]
    half, other_half = lengths[0] // 2, lengths[1] // 2
    pair = [ids[0][:half], ids[0][half:], ids[1][other_half:]]
    one_prompt = Segments(tuple(len(part) for part in pair), (-1, 0, 0))
    rows += [_probe(network, pair, one_prompt, part, f"answer {part}") for part in (1, 2)]
    return Probe(tuple(rows))


def _probe(network: PreTrainedModel, parts: list[Tensor], segments: Segments, changed: int, name: str) -> ProbeRow:
    vocabulary = network.config.get_text_config().vocab_size
    replaced = [*parts[:changed], (parts[changed] + vocabulary // 2) % vocabulary, *parts[changed + 1 :]]
    rows = [torch.cat(parts)[None], torch.cat(replaced)[None]]
    with torch.no_grad():
        ours = _changes(network, [hidden_states(network, ids_1T, segments) for ids_1T in rows], segments)
        leaked_by_default = None
        if max(segments.parents) < 0:
            theirs = _changes(network, _default_hidden_states(network, rows, segments), segments)
            leaked_by_default = max(theirs[:changed] + theirs[changed + 1 :])
    return ProbeRow(name, ours[changed], max(ours[:changed] + ours[changed + 1 :]), leaked_by_default)


def _changes(network: PreTrainedModel, hidden: list[Tensor], segments: Segments) -> list[float]:
    """The largest difference of logits in each part, between two rows' hidden states [T, D]."""
    parts = [torch.split(hidden_TD, list(segments.lengths)) for hidden_TD in hidden]
    return [
        max(_difference(network, *chunks) for chunks in zip(*(part.split(_CHUNK) for part in both), strict=True))
        for both in zip(*parts, strict=True)
    ]


def _difference(network: PreTrainedModel, before_ND: Tensor, after_ND: Tensor) -> float:
    return float((head_logits(network, before_ND).float() - head_logits(network, after_ND).float()).abs().max())


def _default_hidden_states(network: PreTrainedModel, rows: list[Tensor], segments: Segments) -> list[Tensor]:
    """As most packing does it: positions start again at each document, and nothing else says where one begins."""
    network.set_attn_implementation("sdpa" if network._supports_sdpa else "eager")
    try:
        positions_1T = segments.positions_1T.to(network.device)
        body = network.get_decoder()
        outputs = [body(input_ids=ids_1T, position_ids=positions_1T, use_cache=True) for ids_1T in rows]
        return [scale_for_head(network, output.last_hidden_state[0]) for output in outputs]
    finally:
        network.set_attn_implementation(ATTENTION)
