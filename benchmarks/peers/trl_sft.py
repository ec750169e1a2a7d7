"""TRL's SFTTrainer on given rows: every optimizer step is one pass over all rows. Run in the peer's environment.

Arguments: model folder, rows (jsonl with `text`), float32|bfloat16, padded|packed, steps.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

folder, rows_path, dtype, layout, steps = sys.argv[1:6]
texts = [json.loads(line)["text"] for line in Path(rows_path).read_text("utf-8").splitlines()]
tokenizer = AutoTokenizer.from_pretrained(folder)
tokenizer.pad_token = tokenizer.eos_token
eos = tokenizer.convert_tokens_to_ids("<|endoftext|>")
ids = [[eos, *tokenizer(text, add_special_tokens=False)["input_ids"], eos] for text in texts]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
batch = 8
packing = layout == "packed"
longest = max(map(len, ids))
total = sum(map(len, ids))
batches = -(-len(ids) // batch) if not packing else max(1, -(-total // (batch * longest)))


class Times(TrainerCallback):
    seconds: ClassVar[list[float]] = []
    losses: ClassVar[list[float]] = []

    def on_step_begin(self, *args, **kwargs):
        self.begun = time.monotonic()

    def on_step_end(self, *args, **kwargs):
        self.seconds.append(time.monotonic() - self.begun)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in (logs or {}):
            self.losses.append(logs["loss"])


with tempfile.TemporaryDirectory() as output:
    settings = SFTConfig(
        output_dir=output, max_length=longest, packing=packing, per_device_train_batch_size=batch,
        gradient_accumulation_steps=batches, max_steps=int(steps), learning_rate=1e-9, lr_scheduler_type="constant",
        logging_steps=1, save_strategy="no", report_to=[], bf16=dtype == "bfloat16", use_cpu=True, disable_tqdm=True,
        gradient_checkpointing=False, dataloader_drop_last=False, shuffle_dataset=False,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_dict({"input_ids": ids}),
        processing_class=tokenizer,
        callbacks=[Times()],
    )
    fed = sum(len(each) for each in trainer.train_dataset["input_ids"])
    trainer.train()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": Times.seconds, "losses": Times.losses, "tokens": total, "fed": fed, "peak_bytes": peak}))
