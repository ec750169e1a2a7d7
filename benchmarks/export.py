"""What each type of GGUF costs: seconds to write, megabytes, and what of the model is left.

The quickstart's base is exported in every type and read back; both compute the same held-out docstrings of the standard
library. The base's matrices were once Q4_1, which q4_1 finds again without loss, so a copy of it with 1% of noise on every
matrix, as training might leave it, is measured too.

Keys, for each model (base, noised) and type: seconds, megabytes, largest_logit_difference, mean_logit_difference,
perplexity (`perplexity_original` is that of the model itself), same_choice (share of positions with the same likeliest
token).
"""

import ast
import math
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from common import finish, options
from etymon.foundation.gguf.convert import convert_gguf
from etymon.foundation.gguf.header import read_gguf_header
from etymon.foundation.gguf.quantisation import Quantisation
from etymon.foundation.gguf.write import write_gguf
from etymon.foundation.model import Model
from etymon.foundation.network import load_network, load_tokenizer, save_network
from etymon.foundation.sources import open_model
from etymon.store import Store
from etymon.train.save import copy_companions

BASE = "smollm2-135m-instruct-q4_1"
TOKENS = 256
"""Of each text, at most."""


def texts(count: int) -> list[str]:
    """Docstrings of the standard library."""
    found = []
    for source in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and len(ast.get_docstring(node) or "") > 400:
                found.append(ast.get_docstring(node) or "")
    return found[:: max(1, len(found) // count)][:count]


def noised(model: Model, folder: Path) -> Model:
    """A copy whose matrices have noise of 1% of their own size."""
    network = load_network(model)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 2:
                parameter += torch.randn_like(parameter) * 0.01 * parameter.std()
    copy_companions(model.folder, folder)
    save_network(network, folder, torch.float32)
    return open_model(str(folder))


def logits(network: PreTrainedModel, rows: list[list[int]]) -> Iterator[torch.Tensor]:
    """[T, V] of each row."""
    with torch.no_grad():
        for row in rows:
            yield network(torch.tensor([row])).logits[0]


def perplexity(network: PreTrainedModel, rows: list[list[int]]) -> float:
    losses = [
        torch.nn.functional.cross_entropy(logits_TV[:-1], torch.tensor(row[1:]), reduction="sum").item()
        for row, logits_TV in zip(rows, logits(network, rows), strict=True)
    ]
    return math.exp(sum(losses) / sum(len(row) - 1 for row in rows))


def measure(model: Model, kind: Quantisation, rows: list[list[int]], place: Path) -> dict[str, float]:
    path = place / f"{kind.value}.gguf"
    began = time.monotonic()
    write_gguf(model, path, kind, {})
    seconds = time.monotonic() - began
    folder = place / kind.value
    folder.mkdir()
    convert_gguf(read_gguf_header(path), folder, lambda done: None)
    network, again = load_network(model), load_network(open_model(str(folder), cache=Store(place / "cache")))
    largest = total = same = count = 0.0
    for one, two in zip(logits(network, rows), logits(again, rows), strict=True):
        gap = (one - two).abs()
        largest, total = max(largest, gap.max().item()), total + gap.mean(1).sum().item()
        same, count = same + (one.argmax(1) == two.argmax(1)).sum().item(), count + len(one)
    return {
        "seconds": round(seconds, 2),
        "megabytes": round(path.stat().st_size / 1e6, 1),
        "largest_logit_difference": round(largest, 4),
        "mean_logit_difference": round(total / count, 5),
        "perplexity": round(perplexity(again, rows), 4),
        "same_choice": round(same / count, 4),
    }


def main() -> None:
    parser = options(__doc__ or "")
    arguments = parser.parse_args()
    base = open_model(BASE)
    tokenizer = load_tokenizer(base)
    rows = [tokenizer(text)["input_ids"][:TOKENS] for text in texts(6 if arguments.quick else 24)]
    figures: dict[str, Any] = {"tokens": sum(map(len, rows))}
    table = [("model", "type", "seconds", "MB", "largest Δ logit", "mean Δ logit", "perplexity", "same choice")]
    with tempfile.TemporaryDirectory() as place:
        models = {"base": base, "noised": noised(base, Path(place) / "noised-model")}
        for name, model in models.items():
            figures[name] = {"perplexity_original": round(perplexity(load_network(model), rows), 4)}
            for kind in Quantisation:
                with tempfile.TemporaryDirectory(dir=place) as room:
                    found = figures[name][kind.value] = measure(model, kind, rows, Path(room))
                table.append((name, kind.value, *(f"{value:g}" for value in found.values())))
    finish(figures, table, arguments.json)


if __name__ == "__main__":
    main()
