"""A short training by TRL's SFTTrainer, in its own environment. Arguments: model folder, rows (json), where to save."""

import json
import sys
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

folder, rows, target = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
with tempfile.TemporaryDirectory() as output:
    settings = SFTConfig(
        output_dir=output, max_length=256, per_device_train_batch_size=4, max_steps=12, learning_rate=5e-5, logging_steps=1,
        save_strategy="no", report_to=[], use_cpu=True, bf16=False, disable_tqdm=True, gradient_checkpointing=False,
    )  # fmt: skip
    dataset = Dataset.from_dict({"text": json.loads(Path(rows).read_text("utf-8"))})
    trainer = SFTTrainer(model=model, args=settings, train_dataset=dataset, processing_class=tokenizer)
    trainer.train()
model.save_pretrained(target)
tokenizer.save_pretrained(target)
print(json.dumps({"loss": trainer.state.log_history[-2].get("loss")}))
