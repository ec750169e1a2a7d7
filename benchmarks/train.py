"""Training speed beside TRL: the same token ids, the same model, whole optimizer steps, one machine, runs interleaved.

Each optimizer step is one pass over all rows, so all give the mean loss over the same supervised tokens at the same weights
(the learning rate is 1e-9): that is the check that they did the same work. The first step of each run is a warm-up. Peers
run in bfloat16 (the Trainer's usual setting) and in float32; Etymon runs in what `dtype: auto` picks on this machine.

Rows are questions and answers (`--rows FILE`, jsonl with `question` and `answer`, such as GSM8K); by default names and
docstrings of the standard library. Loss is on the answers alone.

Keys: ratio_padded, ratio_packed (against TRL's SFTTrainer in bf16), ratio_padded_float32, ratio_packed_float32, peak_share
(useful FLOP per second over the best matrix product this machine does in that dtype), loss_gap, memory_ratio;
lora_speedup, lora_qv_speedup (against our own full training); ratio_dpo (against DPOTrainer in bf16, pairs per second),
ratio_dpo_float32, dpo_gap (mean log-probability of chosen answers, in nats), dpo_memory_ratio. DPOTrainer computes its
reference each step, as it does by default; ours was computed once before and is not in the steps.
"""

import ast
import json
import sysconfig
from pathlib import Path
from typing import Any

import torch

import peak
from common import BENCH, THIS, finish, median, options, peer_python, run_json
from etymon.foundation.sources import open_model
from etymon.train.device import resolve_dtype

PEERS = Path(__file__).parent / "peers"
Run = dict[str, Any]


def write_questions(path: Path, count: int) -> None:
    """Docstrings of the standard library as answers: real text of very different lengths."""
    rows = []
    for source in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and len(ast.get_docstring(node) or "") > 200:
                question = f"What does {source.stem}.{node.name} do?"
                rows.append({"question": question, "answer": (ast.get_docstring(node) or "")[:1200].strip()})
    chosen = rows[:: max(1, len(rows) // (count + 1))][: count + 1]
    path.write_text("".join(json.dumps(row) + "\n" for row in chosen), "utf-8")


def per_second(runs: list[Run]) -> float:
    """Passes over all rows a second, the median of the counted steps of all runs."""
    return 1 / median([seconds for run in runs for seconds in run["seconds"][1:]])


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="jsonl with `question` and `answer`")
    parser.add_argument("--count", type=int, help="how many rows (16; 8 with --quick)")
    parser.add_argument("--repeats", type=int, default=2, help="how often each peer runs, interleaved")
    arguments = parser.parse_args()
    BENCH.mkdir(exist_ok=True)
    count = arguments.count or (8 if arguments.quick else 16)
    questions = arguments.rows or BENCH / "questions.jsonl"
    if not arguments.rows:
        write_questions(questions, count)
    trl = peer_python("trl", ["trl==1.16.0", "torch==2.13.0"])
    folder = str(open_model("smollm2-135m-instruct-q4_1").folder)
    rows = str(BENCH / "train_rows.json")
    run_json(THIS, PEERS / "train_rows.py", folder, str(questions), str(count), rows)
    dtype = resolve_dtype("auto", "cpu")

    def ours(method: str = "full", objective: str = "sft") -> Run:
        return run_json(THIS, PEERS / "etymon_train.py", folder, rows, dtype, "3", method, objective)

    repeats = 1 if arguments.quick else arguments.repeats
    full, lora, lora_qv, dpo = [], [], [], []
    sft: dict[tuple[str, str], list[Run]] = {}
    their_dpo: dict[str, list[Run]] = {}
    for _ in range(repeats):
        for peer_dtype, layout in [(d, way) for way in ("padded", "packed") for d in ("bfloat16", "float32")]:
            full.append(ours())
            sft.setdefault((peer_dtype, layout), []).append(
                run_json(trl, PEERS / "trl_sft.py", folder, rows, peer_dtype, layout, "2")
            )
        lora.append(ours("lora"))
        full.append(ours())
        lora_qv.append(ours("lora-qv"))
        for peer_dtype in ("bfloat16", "float32"):
            dpo.append(ours(objective="dpo"))
            their_dpo.setdefault(peer_dtype, []).append(run_json(trl, PEERS / "trl_dpo.py", folder, rows, peer_dtype, "2"))
    best = max(peak.measure(getattr(torch, dtype)).values())
    tokens = full[0]["tokens"]
    figures = {
        "ratio_padded": per_second(full) / per_second(sft["bfloat16", "padded"]),
        "ratio_packed": per_second(full) / per_second(sft["bfloat16", "packed"]),
        "ratio_padded_float32": per_second(full) / per_second(sft["float32", "padded"]),
        "ratio_packed_float32": per_second(full) / per_second(sft["float32", "packed"]),
        "peak_share": per_second(full) * full[0]["flop"] / best / 1e9,
        "loss_gap": abs(full[0]["losses"][0] - sft["float32", "padded"][0]["losses"][0]),
        "memory_ratio": full[0]["peak_bytes"] / sft["float32", "padded"][0]["peak_bytes"],
        "lora_speedup": per_second(lora) / per_second(full),
        "lora_qv_speedup": per_second(lora_qv) / per_second(full),
        "ratio_dpo": per_second(dpo) / per_second(their_dpo["bfloat16"]),
        "ratio_dpo_float32": per_second(dpo) / per_second(their_dpo["float32"]),
        "dpo_gap": abs(dpo[0]["chosen_log_probability"] - their_dpo["float32"][0]["chosen_log_probability"]),
        "dpo_memory_ratio": dpo[0]["peak_bytes"] / their_dpo["float32"][0]["peak_bytes"],
        "tokens_per_second": tokens * per_second(full),
        "our_dtype": dtype,
        "best_matmul_gflops": best,
        "rows": count,
        "tokens": tokens,
    }
    table = [("", "tokens/s", "first loss", "peak memory")]
    named = [(f"etymon {dtype}", full), ("etymon LoRA", lora), ("etymon LoRA q, v", lora_qv)]
    named += [(f"TRL {d} {layout}", runs) for (d, layout), runs in sft.items()]
    pairs = sum(len(row["prompt"]) * 2 + sum(map(len, row["answers"])) for row in json.loads(Path(rows).read_text()))
    for name, runs in named:
        table.append(line(name, runs, tokens))
    for name, runs in [(f"etymon DPO {dtype}", dpo)] + [(f"TRL DPO {d}", runs) for d, runs in their_dpo.items()]:
        table.append(line(name, runs, pairs))
    finish(figures, table, arguments.json)
    assert all(run["same_ids"] for runs in their_dpo.values() for run in runs), "TRL was given other tokens"
    assert figures["loss_gap"] < 2e-3, "both did not do the same work"
    assert figures["dpo_gap"] < 0.05, "both did not do the same work"


def line(name: str, runs: list[Run], tokens: int) -> tuple[str, ...]:
    run = runs[0]
    return (name, f"{tokens * per_second(runs):.1f}", f"{run['losses'][0]:.4f}", f"{run['peak_bytes'] / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
