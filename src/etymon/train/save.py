"""The trained model as a Transformers folder: merged, rounded, with its tokenizer, template, licence and card."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import torch
from torch import Tensor
from transformers import PreTrainedModel

from etymon.foundation.model import Model
from etymon.foundation.network import load_tokenizer, save_network
from etymon.foundation.vocabulary import extend_tokenizer
from etymon.store import Draft
from etymon.train.adapters import divergence, live_logits, merge_adapter
from etymon.train.card import write_card
from etymon.train.fused_lora import unfuse_adapters
from etymon.train.prepare import Prepared
from etymon.train.quantized import on_full_precision
from etymon.train.stage import TrainExecution, TrainMeaning
from etymon.train.trainee import make_network

_PAPERS = ("bom.cdx.json", "bom.spdx.json", "obligations.json", "export.json")
"""What a foundation that was exported here says of itself; of the derivative it would be wrong."""


def save_model(
    prepared: Prepared,
    network: PreTrainedModel,
    weights: Mapping[str, Tensor] | None,
    draft: Draft[TrainMeaning, TrainExecution],
) -> dict[str, Any]:
    """Write ``model/``; returns facts of the merge, if there was one.

    ``weights`` are the whole parameters where the network itself is sharded.
    """
    foundation, settings = prepared.foundation, prepared.settings
    clock = draft.clock("saving the model")
    if weights is not None:
        network = make_network(prepared, draft.execution)
        loaded = network.load_state_dict(weights, strict=False)
        assert not loaded.unexpected_keys, loaded
        assert not {name for name, _ in network.named_parameters()} & {*loaded.missing_keys}, loaded
    if settings.method != "qlora":
        network = network.to("cpu")
    dtype = _saved_dtype(foundation)
    facts: dict[str, Any] = {"model_dtype": str(dtype).removeprefix("torch.")}
    if settings.method != "full":
        facts["adapter_parameters"] = sum(p.numel() for p in network.parameters() if p.requires_grad)
        examples = prepared.encoded.examples
        ids_T = torch.from_numpy(examples.segment(int(np.argmax(examples.segment_lengths)))[0]).long()
        if settings.method == "qlora":  # merged into the base before its quantisation; how far that is from what was trained
            trained_TV = live_logits(network, ids_T)
            network = on_full_precision(network, make_network(_unquantized(prepared), draft.execution))
            facts["divergence_from_quantised"] = divergence(trained_TV, live_logits(network, ids_T))
        unfuse_adapters(network)  # the proof is about PEFT's own adapter
        network, proof = merge_adapter(network, ids_T, dtype)
        facts |= proof
    folder = draft.folder / "model"
    copy_companions(foundation.folder, folder)
    if prepared.new_tokens:
        extend_tokenizer(load_tokenizer(foundation), prepared.new_tokens, folder)
        facts["new_tokens"] = len(prepared.new_tokens)
    if draft.meaning.chat_template is not None:
        (folder / "chat_template.jinja").write_text(draft.meaning.chat_template, "utf-8")
    save_network(network, folder, dtype)
    write_card(folder / "README.md", foundation, draft.inputs["corpus"], draft.meaning)
    clock(0)
    return facts


def _unquantized(prepared: Prepared) -> Prepared:
    settings = prepared.settings.model_copy(update={"method": "lora"})
    return replace(prepared, meaning=prepared.meaning.model_copy(update={"settings": settings}))


def _saved_dtype(foundation: Model) -> torch.dtype:
    """As the foundation is stored; bfloat16 where that is something narrower, which nothing can be trained into."""
    dtype = getattr(torch, foundation.facts.dtype, None)
    return dtype if dtype in (torch.float32, torch.bfloat16, torch.float16) else torch.bfloat16


def copy_companions(source: Path, target: Path) -> None:
    """Copy tokenizer, chat template, generation settings, licence and notice byte for byte."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        text = path.suffix in (".json", ".txt", ".jinja", ".model") or path.name.upper().startswith(
            ("LICENSE", "LICENCE", "NOTICE")
        )
        ours = path.name in ("config.json", *_PAPERS) or path.name.startswith(("model", "manifest"))
        if path.is_file() and text and not ours:
            shutil.copyfile(path, target / path.name)


def write_rows(prepared: Prepared, path: Path) -> None:
    """Every row that was dropped or shortened, with its reason."""
    rows = [
        {"row": each.row, "what": what, "reason": each.reason, "detail": each.detail}
        for what, found in [("dropped", prepared.encoded.dropped), ("changed", prepared.encoded.shortened)]
        for each in found
    ]
    schema = pyarrow.schema([(name, pyarrow.string()) for name in ("row", "what", "reason", "detail")])
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path)
