"""Etymon's training loop on given rows: every optimizer step is one pass over all rows.

Arguments: model folder, rows (jsonl with `text`), float32|bfloat16, steps.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch

from etymon.foundation.facts import describe_model
from etymon.foundation.head import prepare_packed
from etymon.foundation.network import load_network, load_tokenizer
from etymon.train.build import encode_documents
from etymon.train.loop import LoopSettings, make_optimizer, train_step
from etymon.train.packing import cut_documents

folder, rows_path, dtype, steps = sys.argv[1:5]
texts = [json.loads(line)["text"] for line in Path(rows_path).read_text("utf-8").splitlines()]
model = describe_model(Path(folder), name="base", source=folder)
documents = encode_documents(load_tokenizer(model), texts)
pieces = cut_documents(documents, max(map(len, documents)))
network = prepare_packed(load_network(model))
network.requires_grad_(True)
network.train()
settings = LoopSettings(1e-9, 0, 0.0, 0.01, (0.9, 0.95), 1.0, getattr(torch, dtype), 2048, 1e9)
optimizer = make_optimizer(dict(network.named_parameters()), settings)
seconds, losses = [], []
for _ in range(int(steps)):
    begun = time.monotonic()
    loss, _norm = train_step(network, pieces, list(range(len(pieces.lengths))), optimizer, 1e-9, settings)
    seconds.append(time.monotonic() - begun)
    losses.append(loss)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
lengths = pieces.lengths.tolist()
config = network.config
body = sum(p.numel() for n, p in network.named_parameters() if p.ndim > 1 and "embed" not in n)
attended = sum(n * (n + 1) / 2 for n in lengths) / sum(lengths)
head = config.vocab_size * config.hidden_size * pieces.supervised / sum(lengths)
flop = 6 * body + 6 * head + 6 * config.num_hidden_layers * config.hidden_size * attended
print(json.dumps({"seconds": seconds, "losses": losses, "tokens": sum(lengths), "peak_bytes": peak, "flop_per_token": flop}))
