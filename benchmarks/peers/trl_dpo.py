"""TRL's DPOTrainer on given pairs: every optimizer step is one pass over all pairs. Run in the peer's environment.

Arguments: model folder, rows (json: see ``train.py``), float32|bfloat16, steps.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from step_times import Times
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

from common import peak_bytes

folder, rows_path, dtype, steps = sys.argv[1:5]
rows = json.loads(Path(rows_path).read_text("utf-8"))
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
batch = 4
times = Times()
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
        callbacks=[times],
    )
    first = trainer.train_dataset[0]
    same = first["prompt_ids"] == rows[0]["prompt"] and first["chosen_ids"] == rows[0]["answers"][0]
    trainer.train()
print(
    json.dumps(
        {
            "seconds": times.seconds, "losses": times.losses, "chosen_log_probability": times.logs[0]["logps/chosen"],
            "same_ids": same, "peak_bytes": peak_bytes(),
        }
    )
)  # fmt: skip
