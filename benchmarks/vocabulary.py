"""What new tokens save: bytes per token on text that was not learned from, and bits per byte before any training.

A tenth of the texts is set aside. New tokens are learned from the rest for the quickstart's base; bits per byte are those of
a few of the texts set aside, each from its start, so the two tokenizers compare. Right after the extension the network has
never seen its new tokens: that figure is where training starts from, not what it reaches.

Keys: bytes_per_token, bits_per_byte (the base), and for each number of tokens N: bytes_per_token_N, bits_per_byte_N
(untrained), new_share_N (of the tokens of the texts set aside), learned_N, seconds_N (to learn), learn_megabytes.
"""

import ast
import json
import math
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common import finish, options
from etymon.foundation.documents import document_marks, text_ids
from etymon.foundation.head import head_logits, hidden_states, prepare_packed
from etymon.foundation.network import load_network, load_tokenizer
from etymon.foundation.segments import Segments
from etymon.foundation.sources import open_model
from etymon.foundation.vocabulary import extend_network, extend_tokenizer
from etymon.train.vocabulary import learn_tokens

BASE = "smollm2-135m-instruct-q4_1"


def docstrings() -> list[str]:
    """Docstrings of the standard library."""
    texts = []
    for source in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and len(ast.get_docstring(node) or "") > 80:
                texts.append(ast.get_docstring(node) or "")
    return texts


def size(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def bits_per_byte(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> float:
    """-log2 p of the texts, each after the start mark, over their bytes."""
    start, _ = document_marks(tokenizer)
    nats = 0.0
    for ids in text_ids(tokenizer, texts):
        row = torch.tensor([([] if start is None else [start]) + ids])
        with torch.no_grad():
            hidden_TD = hidden_states(network, row, Segments.of_documents([row.shape[1]]))
            logits_TV = head_logits(network, hidden_TD[:-1]).float()
        nats += float(torch.nn.functional.cross_entropy(logits_TV, row[0, 1:], reduction="sum"))
    return nats / math.log(2) / size(texts)


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--texts", type=Path, metavar="FILE", help="jsonl with a `text` column, instead of docstrings")
    parser.add_argument("--tokens", type=int, nargs="+", metavar="N", help="how many to learn (default: 500 and 2000)")
    arguments = parser.parse_args()
    texts = docstrings()
    if arguments.texts:
        texts = [json.loads(line)["text"] for line in arguments.texts.read_text("utf-8").splitlines()]
    held = texts[::10]
    learned_from = [text for row, text in enumerate(texts) if row % 10]
    scored = held[:: max(1, len(held) // (8 if arguments.quick else 40))]
    base = open_model(BASE)
    tokenizer = load_tokenizer(base)
    figures: dict[str, Any] = {
        "learn_megabytes": size(learned_from) / 1e6,
        "bytes_per_token": size(held) / sum(map(len, text_ids(tokenizer, held))),
        "bits_per_byte": bits_per_byte(prepare_packed(load_network(base)), tokenizer, scored),
    }
    rows = [
        ("new tokens", "bytes per token", "new share", "bits per byte", "seconds to learn"),
        ("0", f"{figures['bytes_per_token']:.3f}", "", f"{figures['bits_per_byte']:.3f}", ""),
    ]
    for count in arguments.tokens or ([500] if arguments.quick else [500, 2000]):
        begun = time.monotonic()
        new = learn_tokens(tokenizer, learned_from, count)
        seconds = time.monotonic() - begun
        with tempfile.TemporaryDirectory() as folder:
            extended = extend_tokenizer(tokenizer, new, Path(folder))
        network = prepare_packed(load_network(base))
        extend_network(network, new)
        ids = text_ids(extended, held)
        assert extended.batch_decode(ids) == tokenizer.batch_decode(text_ids(tokenizer, held))
        tokens = sum(map(len, ids))
        first = new[0].id if new else 0
        measured = {
            "learned": len(new),
            "seconds": seconds,
            "bytes_per_token": size(held) / tokens,
            "new_share": sum(id >= first for row in ids for id in row) / tokens if new else 0.0,
            "bits_per_byte": bits_per_byte(network, extended, scored),
        }
        figures |= {f"{key}_{count}": value for key, value in measured.items()}
        cells = ("bytes_per_token", "new_share", "bits_per_byte")
        rows.append((str(len(new)), *(f"{measured[cell]:.3f}" for cell in cells), f"{seconds:.1f}"))
    finish(figures, rows, arguments.json)


if __name__ == "__main__":
    main()
