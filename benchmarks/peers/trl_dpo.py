"""TRL's DPOTrainer on given pairs: every optimizer step is one pass over all pairs. Run in the peer's environment.

Arguments: model folder, rows (json: see ``train.py``), float32|bfloat16, steps.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer

from common import peak_bytes

folder, rows_path, dtype, steps = sys.argv[1:5]
rows = json.loads(Path(rows_path).read_text("utf-8"))
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
batch = 4


class Times(TrainerCallback):
    seconds: ClassVar[list[float]] = []
    losses: ClassVar[list[float]] = []
    chosen: ClassVar[list[float]] = []

    def on_step_begin(self, *args, **kwargs):
        self.begun = time.monotonic()

    def on_step_end(self, *args, **kwargs):
        self.seconds.append(time.monotonic() - self.begun)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in (logs or {}):
            self.losses.append(logs["loss"])
            self.chosen.append(logs["logps/chosen"])


texts = {side: [row["texts"][side] for row in rows] for side in ("prompt", "chosen", "rejected")}
with tempfile.TemporaryDirectory() as output:
    settings = DPOConfig(
        output_dir=output, max_length=2048, per_device_train_batch_size=batch, max_steps=int(steps),
        gradient_accumulation_steps=-(-len(rows) // batch), learning_rate=1e-9, lr_scheduler_type="constant",
        logging_steps=1, save_strategy="no", report_to=[], bf16=dtype == "bfloat16", use_cpu=True, disable_tqdm=True,
        gradient_checkpointing=False, dataloader_drop_last=False,
    )  # fmt: skip
    trainer = DPOTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_dict(texts),
        processing_class=AutoTokenizer.from_pretrained(folder),
        callbacks=[Times()],
    )
    first = trainer.train_dataset[0]
    same = first["prompt_ids"] == rows[0]["prompt"] and first["chosen_ids"] == rows[0]["answers"][0]
    trainer.train()
print(
    json.dumps(
        {
            "seconds": Times.seconds, "losses": Times.losses, "chosen_log_probability": Times.chosen[0],
            "same_ids": same, "peak_bytes": peak_bytes(),
        }
    )
)  # fmt: skip
