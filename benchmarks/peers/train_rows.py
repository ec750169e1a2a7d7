"""Rows of question and answer as token ids, by Etymon's own encoding: what every trainer is then given.

Arguments: model folder, jsonl with ``question`` and ``answer``, count, result (json).

A row: ``prompt`` and ``answers`` as ids; the second answer is that of another row, so that it can serve as a pair's worse
side; ``texts`` are the same as text, for trainers that tokenise themselves and add the end mark.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

from etymon.foundation.facts import describe_model
from etymon.foundation.network import load_tokenizer
from etymon.foundation.template import render
from etymon.text.rows import Message, Row
from etymon.train.row_tokens import tokenize_rows

folder, rows_path, count, result = sys.argv[1:5]
tokenizer = load_tokenizer(describe_model(Path(folder), name="base", source=folder))
given = [json.loads(line) for line in Path(rows_path).read_text("utf-8").splitlines()][: int(count) + 1]
pairs = list(pairwise(given))
prompts = [(Message("user", row["question"]),) for row, _ in pairs]
asked = [Row(prompt, (row["answer"], other["answer"])) for prompt, (row, other) in zip(prompts, pairs, strict=True)]
rows = []
for row, sides in zip(asked, tokenize_rows(tokenizer, asked, last_only=True), strict=True):
    assert isinstance(sides, list), sides
    texts = {"prompt": render(tokenizer, row.prompt, add_generation_prompt=True)}
    texts |= {"chosen": row.answers[0], "rejected": row.answers[1]}
    rows.append({"prompt": sides[0].turns[0][0], "answers": [side.turns[0][1] for side in sides], "texts": texts})
Path(result).write_text(json.dumps(rows), "utf-8")
print(json.dumps({"rows": len(rows)}))
