"""The doctor: what would go wrong in a training is found before its first step.

``examine`` looks at the rows as the model will see them and tries the largest one. ``etymon check`` shows its findings;
every training asks it first and does not begin where one is a fault.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import psutil
import pyarrow.parquet as parquet
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from etymon.errors import EtymonError
from etymon.foundation.documents import document_marks
from etymon.foundation.template import TemplateFailure, render
from etymon.text.rows import Message, Row
from etymon.train.encode import Dropped
from etymon.train.loop import Lesson, Trainee, forward_backward
from etymon.train.objectives import counted_tokens, objective_of
from etymon.train.prepare import Prepared

_SAMPLE = 500
"""Rows that are rendered a second time and compared, spread over the corpus."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    found: str
    state: Literal["good", "note", "fault"] = "good"
    remedy: str = ""


def examine(prepared: Prepared, trainee: Trainee, *, dry_step: bool | None = None) -> list[Finding]:
    """Every finding, in the order of a training.

    ``dry_step``: try the largest row (its loss and gradients, no update). By default it is tried where the first step does
    not hold it anyway.
    """
    findings = [_rows(prepared), *_split(prepared), _supervised(prepared), _vocabulary(prepared, trainee), _bos(prepared)]
    findings += [_ends(prepared)] if prepared.settings.objective == "pretrain" else _template(prepared)
    findings += [_weights(trainee)]
    if any(finding.state == "fault" for finding in findings):
        return findings
    row, in_first_step = _largest_row(prepared, trainee)
    if dry_step or (dry_step is None and not in_first_step):
        findings += _dry_step(prepared, trainee, row)
    return findings


def refuse(findings: Sequence[Finding]) -> None:
    """Raise EtymonError for the first fault."""
    for finding in findings:
        if finding.state == "fault":
            raise EtymonError(f"{finding.what}: {finding.found}.", finding.remedy)


def _rows(prepared: Prepared) -> Finding:
    encoded = prepared.encoded
    used = len(set(encoded.examples.documents.tolist()))
    if not encoded.dropped:
        return Finding("rows", f"all {used:,} are used")
    reasons: dict[str, Dropped] = {}
    for each in encoded.dropped:
        reasons.setdefault(each.reason, each)
    shown = "; ".join(
        f"{sum(each.reason == reason for each in encoded.dropped):,} {reason} (such as {first.row}"
        + (f": {first.detail})" if first.detail else ")")
        for reason, first in reasons.items()
    )
    return Finding("rows", f"{used:,} are used, {len(encoded.dropped):,} are not: {shown}", "note")


def _split(prepared: Prepared) -> list[Finding]:
    encoded, longest = prepared.encoded, prepared.settings.sequence_length
    findings = []
    if encoded.split:
        found = f"{encoded.split:,} are longer than {longest:,} tokens and are split; every token is still predicted once"
        findings.append(Finding("long documents", found))
    for reason in dict.fromkeys(each.reason for each in encoded.shortened):
        rows = [each.row for each in encoded.shortened if each.reason == reason]
        findings.append(Finding("long conversations", f"{len(rows):,} {reason}, such as {rows[0]}", "note"))
    return findings


def _supervised(prepared: Prepared) -> Finding:
    examples = prepared.encoded.examples
    total, supervised = int(examples.lengths.sum()), int(examples.supervised_tokens.sum())
    none = np.flatnonzero(examples.supervised_tokens == 0)
    if len(none):
        name = prepared.encoded.names[examples.documents[none[0]]]
        return Finding("supervised tokens", f"{len(none)} rows have none, such as {name}", "fault", "Remove these rows.")
    return Finding("supervised tokens", f"{supervised:,} of {total:,} ({supervised / total:.0%}), some in every row")


def _vocabulary(prepared: Prepared, trainee: Trainee) -> Finding:
    examples = prepared.encoded.examples
    rows = trainee.network.get_input_embeddings().weight.shape[0]
    largest = int(examples.ids.max())
    if largest >= rows:
        place = int(np.flatnonzero(examples.ids == largest)[0])
        segment = int(np.flatnonzero((examples.begins <= place) & (place < examples.begins + examples.segment_lengths))[0])
        example = int(np.searchsorted(examples.firsts, segment, "right")) - 1
        return Finding(
            "vocabulary",
            f"the tokenizer writes token {largest} ({prepared.tokenizer.convert_ids_to_tokens(largest)!r}) in "
            f"{prepared.encoded.names[examples.documents[example]]}, but the model has rows for {rows} tokens only",
            "fault",
            "The tokenizer belongs to another model; fetch the foundation again.",
        )
    new = f", {len(prepared.new_tokens):,} of them new" if prepared.new_tokens else ""
    return Finding("vocabulary", f"every token is one of the model's {rows:,}{new}")


def _bos(prepared: Prepared) -> Finding:
    """Models that expect one start mark lose much with none or two (unsloth #10312)."""
    tokenizer, examples = prepared.tokenizer, prepared.encoded.examples
    bos = tokenizer.bos_token_id
    adds = bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
    if not adds:
        return Finding("start mark", "this model's tokenizer adds none")
    before = np.concatenate([[0], np.cumsum(examples.ids == bos)])
    count_E = np.add.reduceat(
        before[examples.begins + examples.segment_lengths] - before[examples.begins], examples.firsts[:-1]
    )
    whole_E = np.diff(examples.documents, prepend=-1) != 0  # later pieces of a split document begin in its middle
    leads_E = examples.ids[examples.begins[examples.firsts[:-1]]] == bos
    wrong = np.flatnonzero((count_E != whole_E) | (leads_E != whole_E))
    if len(wrong):
        name = prepared.encoded.names[examples.documents[wrong[0]]]
        return Finding(
            "start mark",
            f"{name} has {count_E[wrong[0]]} of {tokenizer.bos_token}; one, at its beginning, was expected",
            "fault",
            "The chat template and the tokenizer do not agree on who writes it; set train.chat_template.",
        )
    return Finding("start mark", f"exactly one {tokenizer.bos_token} in every row")


def _ends(prepared: Prepared) -> Finding:
    _, end = document_marks(prepared.tokenizer)
    if end is None:
        return Finding("end mark", "the tokenizer has none, so the model will not learn where a document ends", "note")
    return Finding("end mark", f"{prepared.tokenizer.convert_ids_to_tokens(end)} is learned after every document")


def _template(prepared: Prepared) -> list[Finding]:
    """Render rows again as a server would, and compare token by token with what is trained."""
    tokenizer, examples = prepared.tokenizer, prepared.encoded.examples
    table = parquet.read_table(prepared.corpus.file("train.parquet"), columns=["id", "row"]).sort_by("id")["row"]
    sample = np.unique(np.linspace(0, len(examples) - 1, min(_SAMPLE, len(examples))).round().astype(int))
    compared, ends = 0, set()
    for example in sample.tolist():
        document = int(examples.documents[example])
        row = Row.from_json(table[document].as_py())
        segments = [examples.segment(segment) for segment in examples.segments_of(example)]
        for ids, supervised in segments:
            if supervised.any():
                ends.add(int(ids[np.flatnonzero(supervised)[-1]]))
        if isinstance(row.prompt, str):
            continue
        compared += 1
        trained = segments[0][0].tolist()
        for side, answer in enumerate(row.answers, start=1):
            whole = trained if len(segments) == 1 else trained + segments[side][0].tolist()
            problem = _differs(prepared, (*row.prompt, Message("assistant", answer)), whole, segments[0][1])
            if problem:
                name = prepared.encoded.names[document]
                remedy = "This template cannot be trained on as it is; set train.chat_template to one that can."
                return [Finding("chat template", f"{name}: {problem}", "fault", remedy)]
    marks = ", ".join(str(tokenizer.convert_ids_to_tokens(end)) for end in sorted(ends))
    found = [Finding("end of turn", f"{marks} is learned after every answer")]
    if compared:
        found.insert(
            0, Finding("chat template", f"{compared:,} rows rendered again: prompt and conversation have the same tokens")
        )
    return found


def _differs(
    prepared: Prepared, messages: tuple[Message, ...], trained: list[int], supervised: NDArray[np.bool_]
) -> str | None:
    """How the tokens that are trained differ from the template's, for the last prompt and for the whole conversation."""
    tokenizer = prepared.tokenizer

    def ids(messages: tuple[Message, ...], prompt: bool) -> list[int]:
        text = render(tokenizer, messages, add_generation_prompt=prompt)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    try:
        whole, prompt = ids(messages, False), ids(messages[:-1], True)
    except TemplateFailure as failure:
        return failure.reason
    if trained != whole[: len(trained)]:
        return "the conversation's tokens are not the template's"
    shortened = len(trained) < len(prompt)
    if not shortened and trained[: len(prompt)] != prompt:
        return "the prompt's tokens are not the template's"
    if not shortened and supervised[: len(prompt)].any() and not supervised[len(prompt) :].all():
        last = np.flatnonzero(~supervised)[-1]
        if last >= len(prompt):
            return "a part of the last answer is not supervised"
    return None


def _weights(trainee: Trainee) -> Finding:
    for name, tensor in trainee.network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(_local(tensor)).all():
            remedy = "The foundation's file is damaged, or was saved from a run that diverged; take another."
            return Finding("weights", f"{name} holds values that are not finite", "fault", remedy)
    return Finding("weights", "all are finite")


def _local(tensor: Tensor) -> Tensor:
    """This rank's part of a sharded tensor; a whole one as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _largest_row(prepared: Prepared, trainee: Trainee) -> tuple[list[int], bool]:
    """The fullest row of the plan, and whether the first step holds it."""
    lengths = prepared.encoded.examples.lengths
    tokens = [int(lengths[list(step)].sum()) for step in prepared.plan.steps]
    lesson = Lesson(prepared.encoded.examples, objective_of(prepared.settings), np.empty(0, np.int64))
    best: list[int] = []
    for place in sorted(range(len(tokens)), key=lambda place: (-tokens[place], place))[:8]:
        for pack in lesson.packs(prepared.plan.steps[place], trainee.pack_tokens):
            if lengths[pack].sum() > (lengths[best].sum() if best else 0):
                best = pack
    return best, set(best) <= set(prepared.plan.steps[0])


def _dry_step(prepared: Prepared, trainee: Trainee, row: list[int]) -> list[Finding]:
    """Loss and gradients of the largest row, with references of zero; nothing is updated."""
    examples, objective = prepared.encoded.examples, objective_of(prepared.settings)
    lesson = Lesson(
        examples,
        replace(objective, needs_baseline=False),
        counted_tokens(prepared.settings.objective, examples),
        reference_S=torch.zeros(len(examples.begins)),
    )
    state = torch.get_rng_state()
    loss, _ = forward_backward(trainee, lesson, row)
    torch.set_rng_state(state)
    gradients = float(_local(nn.utils.get_total_norm([p.grad for p in trainee.parameters.values() if p.grad is not None])))
    trainee.optimizer.zero_grad(set_to_none=True)
    tokens = int(examples.lengths[row].sum())
    if not math.isfinite(loss) or not math.isfinite(gradients):
        remedy = "Set train.dtype: float32; if that does not help, the foundation itself gives no finite loss."
        return [Finding("trial step", f"the loss of the largest row ({tokens:,} tokens) is {loss}", "fault", remedy)]
    needed = _memory(trainee)
    total = torch.cuda.mem_get_info()[1] if trainee.network.device.type == "cuda" else psutil.virtual_memory().total
    memory = f"about {needed / 2**30:.1f} of {total / 2**30:.1f} GiB of memory"
    trial = Finding("trial step", f"the largest row, {tokens:,} tokens, has a loss of {loss:.3f} and needs {memory}")
    if needed > 0.9 * total:
        return [trial, Finding("memory", memory, "note", "Lower execution.pack_tokens.")]
    return [trial]


def _memory(trainee: Trainee) -> float:
    """Peak so far, and the optimizer's moments that come with the first update, in bytes."""
    moments = sum(2 * 4 * p.numel() for p in trainee.parameters.values())
    if trainee.network.device.type == "cuda":
        return float(torch.cuda.max_memory_allocated() + moments)
    return float(psutil.Process().memory_info().rss + moments)
