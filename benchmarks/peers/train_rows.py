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
from etymon.recipe import Train
from etymon.text.rows import Message, Row
from etymon.train.encode import RowEncoder

folder, rows_path, count, result = sys.argv[1:5]
tokenizer = load_tokenizer(describe_model(Path(folder), name="base", source=folder))
given = [json.loads(line) for line in Path(rows_path).read_text("utf-8").splitlines()][: int(count) + 1]
encoder = RowEncoder(tokenizer, Train.model_validate({"budget": {"tokens": 1}, "objective": "dpo"}))
rows = []
for row, other in pairwise(given):
    prompt = (Message("user", row["question"]),)
    ids, answers = encoder.prompt_and_answers(Row(prompt, (row["answer"], other["answer"])))
    text = render(tokenizer, prompt, add_generation_prompt=True)
    texts = {"prompt": text, "chosen": row["answer"], "rejected": other["answer"]}
    rows.append({"prompt": ids, "answers": answers, "texts": texts})
Path(result).write_text(json.dumps(rows), "utf-8")
print(json.dumps({"rows": len(rows)}))
