"""LLaMA-Factory's SFT on given rows: every optimizer step is one pass over all rows. Run in the peer's environment.

Arguments: model folder, rows (json: see ``train.py``), float32|bfloat16, padded|packed, steps. The rows' texts are rendered
already, so its template adds the end mark alone; ``same_ids`` says whether its own tokenizing gave the same tokens.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ |= {"CUDA_VISIBLE_DEVICES": "", "DISABLE_VERSION_CHECK": "1"}

from llamafactory.data.formatter import StringFormatter
from llamafactory.data.template import register_template
from llamafactory.train.tuner import run_exp
from step_times import Times

from common import peak_bytes

folder, rows_path, dtype, layout, steps = sys.argv[1:6]
rows = json.loads(Path(rows_path).read_text("utf-8"))
ids = [row["prompt"] + row["answers"][0] for row in rows]
longest, total, batch = max(map(len, ids)), sum(map(len, ids)), 8
packing = layout == "packed"
cutoff = 8 * -(-(4 if packing else 1) * longest // 8)  # neat_packing fails on lengths that are no multiple of 8
end = StringFormatter(slots=["{{content}}<|im_end|>"])
register_template(name="rendered", format_user=StringFormatter(slots=["{{content}}"]), format_assistant=end)
times = Times()


def settings(work: str, gradient_accumulation: int) -> dict[str, object]:
    return {
        "model_name_or_path": folder, "stage": "sft", "do_train": True, "finetuning_type": "full", "template": "rendered",
        "dataset": "rows", "dataset_dir": work, "cutoff_len": cutoff, "packing": packing,
        "neat_packing": packing,
        "output_dir": f"{work}/out", "max_steps": int(steps), "learning_rate": 1e-9, "lr_scheduler_type": "constant",
        "per_device_train_batch_size": 1 if packing else batch, "gradient_accumulation_steps": gradient_accumulation,
        "logging_steps": 1, "save_strategy": "no", "report_to": "none", "bf16": dtype == "bfloat16", "use_cpu": True,
        "disable_tqdm": True, "disable_gradient_checkpointing": True, "flash_attn": "sdpa", "max_grad_norm": 1.0,
        "preprocessing_num_workers": 1, "dataloader_num_workers": 0, "overwrite_cache": True,
    }  # fmt: skip


with tempfile.TemporaryDirectory() as work:
    texts = [{"instruction": row["texts"]["prompt"], "input": "", "output": row["texts"]["chosen"]} for row in rows]
    Path(work, "rows.json").write_text(json.dumps(texts), "utf-8")
    Path(work, "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json"}}), "utf-8")
    rows_of_step = -(-total // cutoff) if packing else -(-len(rows) // batch)
    run_exp(settings(work, rows_of_step), [times])
made = times.dataset
fed = [
    token
    for tokens, mask in zip(made["input_ids"], made["attention_mask"], strict=True)
    for token, real in zip(tokens, mask, strict=True)
    if real
]
supervised = sum(label != -100 for row in made["labels"] for label in row)
same = sorted(fed) == sorted(token for row in ids for token in row) and supervised == sum(
    len(row["answers"][0]) for row in rows
)
print(
    json.dumps(
        {
            "seconds": times.seconds,
            "losses": times.losses,
            "tokens": total,
            "fed": sum(map(len, made["input_ids"])),
            "same_ids": same and (not packing or len(made["input_ids"]) == rows_of_step),
            "peak_bytes": peak_bytes(),
        }
    )
)
