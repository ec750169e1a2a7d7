"""The doctor: what would go wrong in a training is found before its first step.

``examine`` looks at the rows as the model will see them and tries the largest one. ``etymon check`` shows its findings;
every training asks it first and does not begin where one is a fault. All rows are looked at, in flat arrays; only what has
to go through the chat template again is a sample.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from etymon.errors import EtymonError
from etymon.foundation.documents import document_marks
from etymon.foundation.vocabulary import embedding_parameters
from etymon.train.encode import Dropped
from etymon.train.finding import Finding
from etymon.train.prepare import Prepared
from etymon.train.row_tokens import APART
from etymon.train.schedule import decay_start
from etymon.train.serving import examine_serving
from etymon.train.step import Trainee
from etymon.train.templates import examine_templates
from etymon.train.trial import largest_row, trial_step

_CHANGES = {
    "shortened-after-an-answer": ("long conversations", "end earlier, after the last answer that fits"),
    "earlier-answer-not-supervised": (
        "earlier answers",
        "have one that is not supervised: the template writes the turns before it otherwise once more follow",
    ),
    APART: (
        "boundaries",
        "would have a token that joins prompt and answer; each has its own tokens, as when the model serves",
    ),
}


def examine(prepared: Prepared, trainee: Trainee, *, dry_step: bool | None = None) -> list[Finding]:
    """Every finding, in the order of a training.

    ``dry_step``: try the largest row (its loss and gradients, no update). By default it is tried where the first step does
    not hold it anyway.
    """
    findings = [_rows(prepared), *_changes(prepared), _supervised(prepared), *_vocabulary(prepared, trainee)]
    findings += [_start_mark(prepared)]
    if prepared.settings.objective == "pretrain":
        findings.append(_end_mark(prepared))
    else:
        findings += [*examine_templates(prepared), *examine_serving(prepared, trainee)]
    findings += [_weights(trainee), *_optimizer(prepared, trainee), *_warmup(prepared)]
    if any(finding.state == "fault" for finding in findings):
        return findings
    row, in_first_step = largest_row(prepared, trainee)
    if dry_step or (dry_step is None and not in_first_step):
        findings += trial_step(prepared, trainee, row)
    return findings


def _warmup(prepared: Prepared) -> list[Finding]:
    settings, steps = prepared.settings, len(prepared.plan.steps)
    begin = decay_start(steps, settings.decay_share) if settings.schedule == "wsd" else steps
    if settings.warmup_steps < begin:
        return []
    found = f"the warm-up takes {settings.warmup_steps} of {steps} steps, so the learning rate never reaches its peak"
    return [Finding("learning rate", found, "note", "Lower train.warmup_steps or raise train.budget.")]


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
    counted = Counter(each.reason for each in encoded.dropped)
    shown = "; ".join(
        f"{count:,} {reason} (such as {_first(encoded.dropped, reason)})" for reason, count in counted.most_common()
    )
    return Finding("rows", f"{used:,} are used, {len(encoded.dropped):,} are not: {shown}", "note")


def _first(dropped: Sequence[Dropped], reason: str) -> str:
    first = next(each for each in dropped if each.reason == reason)
    return f"{first.row}: {first.detail}" if first.detail else first.row


def _changes(prepared: Prepared) -> list[Finding]:
    encoded, longest = prepared.encoded, prepared.settings.sequence_length
    findings = []
    if encoded.split:
        found = f"{encoded.split:,} are longer than {longest:,} tokens and are split; every token is still predicted once"
        findings.append(Finding("long documents", found))
    for reason, count in Counter(each.reason for each in encoded.shortened).most_common():
        what, how = _CHANGES[reason]
        findings.append(Finding(what, f"{count:,} rows {how}; such as {_first(encoded.shortened, reason)}", "note"))
    return findings


def _supervised(prepared: Prepared) -> Finding:
    examples = prepared.encoded.examples
    total, supervised = int(examples.lengths.sum()), int(examples.supervised_tokens.sum())
    none = np.flatnonzero(examples.supervised_tokens == 0)
    if len(none):
        found = f"{len(none):,} rows have none, such as {_name(prepared, int(none[0]))}"
        return Finding("supervised tokens", found, "fault", "Remove these rows.")
    return Finding("supervised tokens", f"{supervised:,} of {total:,} ({supervised / total:.0%}), some in every row")


def _vocabulary(prepared: Prepared, trainee: Trainee) -> list[Finding]:
    examples, tokenizer = prepared.encoded.examples, prepared.tokenizer
    rows = len(embedding_parameters(trainee.network)[0])
    remedy = "The tokenizer belongs to another model; fetch the foundation again."
    largest = int(examples.ids.max())
    if largest >= rows:
        token = tokenizer.convert_ids_to_tokens(largest)
        name = _name_at(prepared, int(np.argmax(examples.ids == largest)))
        found = f"the tokenizer writes token {largest} ({token!r}) in {name}, but the model has rows for {rows:,} tokens only"
        return [Finding("vocabulary", found, "fault", remedy)]
    new = f", {len(prepared.new_tokens):,} of them new" if prepared.new_tokens else ""
    findings = [Finding("vocabulary", f"every token is one of the model's {rows:,}{new}")]
    if beyond := sum(number >= rows for number in tokenizer.get_vocab().values()):
        found = f"the tokenizer knows {beyond:,} tokens that the model has no row for; no training row has one of them"
        findings.append(Finding("vocabulary", found, "note"))
    return findings


def _start_mark(prepared: Prepared) -> Finding:
    """Models that expect one start mark lose much with none or two (unsloth #10312)."""
    tokenizer, examples = prepared.tokenizer, prepared.encoded.examples
    mark, number = tokenizer.bos_token, tokenizer.bos_token_id
    if number is None:
        return Finding("start mark", "this model has none")
    after = np.flatnonzero((examples.ids[:-1] == number) & (examples.ids[1:] == number)) + 1
    twice = after[~np.isin(after, examples.begins)]
    if len(twice):
        found = f"{_name_at(prepared, int(twice[0]))} has two {mark} in a row"
        return Finding("start mark", found, "fault", "Take one out of the chat template, and set train.chat_template to it.")
    if tokenizer("a")["input_ids"][:1] != [number]:
        return Finding("start mark", "this model's tokenizer adds none, and no row has two in a row")
    whole_E = np.diff(examples.documents, prepend=-1) != 0  # later pieces of a split document begin in its middle
    missing = np.flatnonzero(whole_E & (examples.ids[examples.begins[examples.firsts[:-1]]] != number))
    if len(missing):
        found = (
            f"{_name(prepared, int(missing[0]))} does not begin with {mark}, with which this model's tokenizer begins a text"
        )
        remedy = "Begin the chat template with {{ bos_token }}, and set train.chat_template to it."
        return Finding("start mark", found, "fault", remedy)
    return Finding("start mark", f"every row begins with one {mark}")


def _end_mark(prepared: Prepared) -> Finding:
    examples = prepared.encoded.examples
    _, end = document_marks(prepared.tokenizer)
    if end is None:
        return Finding("end mark", "the tokenizer has none, so the model will not learn where a document ends", "note")
    mark = prepared.tokenizer.convert_ids_to_tokens(end)
    last_E = np.diff(examples.documents, append=-1) != 0
    ends_E = examples.ids[examples.begins[examples.firsts[1:] - 1] + examples.segment_lengths[examples.firsts[1:] - 1] - 1]
    missing = np.flatnonzero(last_E & (ends_E != end))
    if len(missing):
        found = f"{_name(prepared, int(missing[0]))} does not end with {mark}"
        return Finding("end mark", found, "fault", "This is a mistake in Etymon; please report it.")
    return Finding("end mark", f"{mark} is learned after every document")


def _weights(trainee: Trainee) -> Finding:
    for name, tensor in trainee.network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(_local(tensor)).all():
            remedy = "The foundation's file is damaged, or was saved from a run that diverged; take another."
            return Finding("weights", f"{name} holds values that are not finite", "fault", remedy)
    return Finding("weights", "all are finite")


def _local(tensor: Tensor) -> Tensor:
    """This rank's part of a sharded tensor; a whole one as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _optimizer(prepared: Prepared, trainee: Trainee) -> list[Finding]:
    if prepared.settings.optimizer != "muon" or trainee.network.device.type != "cpu":
        return []
    found = "muon is slow on a CPU: SmolLM2-135M took 47 s a step on one thread; train.optimizer: adamw is the quick one"
    return [Finding("optimizer", found, "note")]


def _name(prepared: Prepared, example: int) -> str:
    """``source/file#line`` of an example."""
    return prepared.encoded.names[int(prepared.encoded.examples.documents[example])]


def _name_at(prepared: Prepared, place: int) -> str:
    """``source/file#line`` of the example that has a token at this place of all ids."""
    examples = prepared.encoded.examples
    segment = int(np.searchsorted(examples.begins, place, "right")) - 1
    return _name(prepared, int(np.searchsorted(examples.firsts, segment, "right")) - 1)
