"""lm-eval's `hf` backend on given work (json: see ``evaluate.py``). Arguments: file, float32|bfloat16, batch size."""

import sys

import torch
from answering import answer
from lm_eval.models.huggingface import HFLM

from etymon.foundation.network import load_network, load_tokenizer
from etymon.foundation.sources import open_model

file, dtype, batch = sys.argv[1:]
model = open_model("smollm2-135m-instruct-q4_1")
network = load_network(model, dtype=getattr(torch, dtype))
answer(HFLM(network, tokenizer=load_tokenizer(model), batch_size=int(batch)), file)
