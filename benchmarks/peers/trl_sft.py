"""TRL's SFTTrainer on given rows: every optimizer step is one pass over all rows. Run in the peer's environment.

Arguments: model folder, rows (json: see ``train.py``), float32|bfloat16, padded|packed, steps, learning rate.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from step_times import Times
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from common import peak_bytes

folder, rows_path, dtype, layout, steps, rate = sys.argv[1:7]
rows = json.loads(Path(rows_path).read_text("utf-8"))
ids = [row["prompt"] + row["answers"][0] for row in rows]
masks = [[0] * len(row["prompt"]) + [1] * len(row["answers"][0]) for row in rows]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
batch = 8
longest, total = max(map(len, ids)), sum(map(len, ids))
packing = layout == "packed"
length = 4 * longest if packing else longest  # rows of about a thousand tokens, as a user would pack
batches = max(1, round(total / length / 2)) if packing else -(-len(ids) // batch)
times = Times()
with tempfile.TemporaryDirectory() as output:
    settings = SFTConfig(
        output_dir=output, max_length=length, packing=packing, per_device_train_batch_size=2 if packing else batch,
        gradient_accumulation_steps=batches, max_steps=int(steps), learning_rate=float(rate), lr_scheduler_type="constant",
        logging_steps=1, save_strategy="no", report_to=[], bf16=dtype == "bfloat16", use_cpu=True, disable_tqdm=True,
        gradient_checkpointing=False, dataloader_drop_last=False, shuffle_dataset=False, completion_only_loss=True,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_dict({"input_ids": ids, "completion_mask": masks}),
        processing_class=AutoTokenizer.from_pretrained(folder),
        callbacks=[times],
    )
    packed_rows = len(trainer.train_dataset)
    if packing:  # one step must be one pass over what the packing made
        trainer.args.per_device_train_batch_size = 1
        trainer.args.gradient_accumulation_steps = packed_rows
        trainer._train_batch_size = 1
    fed = sum(len(each) for each in trainer.train_dataset["input_ids"])
    trainer.train()
print(
    json.dumps(
        {
            "seconds": times.seconds,
            "losses": times.losses,
            "tokens": total,
            "fed": fed,
            "peak_bytes": peak_bytes(),
        }
    )
)
