"""What a packed row is trained for. An objective is a small function from a network and a row to the row's part of the loss.

Every loss is a mean over the whole step: over its supervised tokens, or over its examples. A row gives its sum divided by
the step's count, so it does not matter how a step is divided over rows and ranks.

Shape suffixes: S segments of a row, E its examples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel

from etymon.recipe import Dpo, Kto, Orpo, Train
from etymon.train.examples import Examples
from etymon.train.packed import PackedRow, segment_log_probabilities, summed_loss


@dataclass(frozen=True)
class Step:
    """What a row has to know of the step it belongs to."""

    tokens: int
    """Supervised tokens of all rows on all ranks."""
    examples: int
    baseline: float = 0.0
    """For KTO: the mean log-ratio of answers that belong to other prompts, in nats."""


Loss = Callable[[PreTrainedModel, PackedRow, Step], tuple[Tensor, Mapping[str, Tensor]]]
"""Returns the row's part of the step's loss, and its parts of the step's other metrics."""


@dataclass(frozen=True)
class Objective:
    """A loss, and what it needs besides the network."""

    loss: Loss
    needs_reference: bool = False
    """Log-probabilities under the model that training starts from."""
    is_likelihood: bool = False
    """The loss is in nats a token, so that of guessing is known."""
    metrics: tuple[str, ...] = ()
    """What the loss tells besides itself."""


def objective_of(settings: Train) -> Objective:
    """The objective that a recipe asks for."""
    if settings.objective == "dpo":
        return Objective(partial(dpo_loss, settings.dpo), needs_reference=True, metrics=("accuracy", "margin"))
    if settings.objective == "orpo":
        return Objective(partial(orpo_loss, settings.orpo), metrics=("accuracy", "margin"))
    if settings.objective == "kto":
        loss = partial(kto_loss, settings.kto)
        return Objective(loss, needs_reference=True, metrics=("accuracy",))
    return Objective(causal_loss, is_likelihood=True)


def causal_loss(network: PreTrainedModel, row: PackedRow, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Mean −log p over the supervised tokens: all of a document (``pretrain``), the answers of a conversation (``sft``)."""
    return summed_loss(network, row) / step.tokens, {}


def dpo_loss(dpo: Dpo, network: PreTrainedModel, row: PackedRow, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
    """DPO (arXiv 2305.18290, eq. 7): −log σ(β·margin), the margin being how much more than the reference the policy prefers
    the chosen answer. IPO (arXiv 2310.12036, eq. 17): (margin − 1/(2β))², on mean log-probabilities a token.
    """
    assert row.reference_S is not None
    ratio_S = segment_log_probabilities(network, row) - row.reference_S
    if dpo.loss == "ipo":
        ratio_S = ratio_S / _supervised_S(row).clamp(min=1)
    chosen_E, rejected_E = _sides(row, ratio_S)
    margin_E = chosen_E - rejected_E
    loss_E = (margin_E - 1 / (2 * dpo.beta)).square() if dpo.loss == "ipo" else -logsigmoid(dpo.beta * margin_E)
    return loss_E.sum() / step.examples, _preferences(margin_E.detach(), step)


def orpo_loss(orpo: Orpo, network: PreTrainedModel, row: PackedRow, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
    """ORPO (arXiv 2403.07691, eq. 6): the chosen answer's likelihood, plus λ·−log σ of the log odds ratio of the two.

    The likelihood is a mean over chosen tokens, the odds ratio over pairs; odds are of mean log-probabilities a token.
    """
    log_S = segment_log_probabilities(network, row)
    chosen_E, _ = _sides(row, log_S)
    better_E, worse_E = _sides(row, log_S / _supervised_S(row).clamp(min=1))
    odds_E = (better_E - worse_E) - (_log1mexp(better_E) - _log1mexp(worse_E))
    loss = -chosen_E.sum() / step.tokens - orpo.weight * logsigmoid(odds_E).sum() / step.examples
    return loss, _preferences(odds_E.detach(), step)


def kto_loss(kto: Kto, network: PreTrainedModel, row: PackedRow, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
    """KTO (arXiv 2402.01306, eq. 8): λ·(1 − σ(±β·(log-ratio − z₀))), z₀ being the step's baseline, never below 0."""
    assert row.reference_S is not None
    ratio_S = segment_log_probabilities(network, row) - row.reference_S
    answers = torch.tensor(row.first_E, device=ratio_S.device) + 1
    gain_E = kto.beta * (ratio_S[answers] - max(0.0, step.baseline))
    value_E = torch.where(
        row.liked_E,
        kto.desirable_weight * (1 - torch.sigmoid(gain_E)),
        kto.undesirable_weight * (1 - torch.sigmoid(-gain_E)),
    )
    right_E = (gain_E.detach() > 0) == row.liked_E
    return value_E.sum() / step.examples, {"accuracy": right_E.sum() / step.examples}


def counted_tokens(objective: str, examples: Examples) -> NDArray[np.int64]:
    """[E] supervised tokens that a mean over tokens goes over: for ORPO those of the chosen answer alone."""
    if objective == "orpo":
        return examples.supervised_lengths[examples.firsts[:-1] + 1]
    return examples.supervised_tokens


def _sides(row: PackedRow, of_S: Tensor) -> tuple[Tensor, Tensor]:
    first_E = torch.tensor(row.first_E, device=of_S.device)
    return of_S[first_E + 1], of_S[first_E + 2]


def _supervised_S(row: PackedRow) -> Tensor:
    return torch.bincount(row.segment_N, minlength=len(row.segments.lengths))


def _preferences(margin_E: Tensor, step: Step) -> Mapping[str, Tensor]:
    return {"accuracy": (margin_E > 0).sum() / step.examples, "margin": margin_E.sum() / step.examples}


def _log1mexp(log_p: Tensor) -> Tensor:
    """log(1 − exp(log p)) for log p < 0, without cancellation (Mächler 2012, eq. 7)."""
    log_p = log_p.clamp(max=-1e-7)
    return torch.where(log_p > -0.6931, torch.log(-torch.expm1(log_p)), torch.log1p(-torch.exp(log_p)))
