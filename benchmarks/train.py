"""Training speed beside TRL and LLaMA-Factory: the same token ids, whole optimizer steps, one machine, runs interleaved.

Each optimizer step is one pass over all rows, so all give the mean loss over the same supervised tokens at the same weights
(the learning rate is 1e-9): that is the check that they did the same work. The first step of each run is a warm-up. Peers
run in bfloat16 (the Trainer's usual setting) and in float32; Etymon runs in what `dtype: auto` picks on this machine.

Rows are questions and answers (`--rows FILE`, jsonl with `question` and `answer`, such as GSM8K); by default names and
docstrings of the standard library. Loss is on the answers alone. LLaMA-Factory packs with `neat_packing`, without which its
packed rows see each other. `--quick` leaves out LLaMA-Factory, packed and preference peers in float32, and the curves.

Keys: ratio_padded, ratio_packed (against TRL's SFTTrainer in bf16), ratio_padded_float32, ratio_packed_float32;
ratio_llamafactory_padded, ratio_llamafactory_packed (bf16); peak_share (useful FLOP per second over the best matrix product
this machine does in that dtype), products_share (over the mean rate of the products that training is made of);
loss_gap (ours to TRL, both float32), dtype_gap (ours to our float32); memory_ratio; lora_speedup, lora_qv_speedup (against
our own full training); ratio_dpo (against DPOTrainer in bf16), ratio_dpo_float32, dpo_gap (mean log-probability of chosen
answers, ours in float32 to theirs, as a share), dpo_memory_ratio; curve_gap, curve_gap_trl (mean distance of ten losses at a
real learning rate from the same trainer's float32). DPOTrainer computes its reference each step, as it does by default; ours
was computed once before and is not in the steps.

With ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 a CPU that has AMX shows what one without it would do; all sides obey it.
"""

import ast
import json
import statistics
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import peak
from common import BENCH, THIS, finish, median, options, peer_python, run_json
from etymon.foundation.sources import open_model
from etymon.train.device import resolve_dtype

PEERS = Path(__file__).parent / "peers"
Run = dict[str, Any]
LLAMAFACTORY = (
    "llamafactory",
    ["llamafactory==0.9.5", "torch==2.9.1", "torchvision==0.24.1", "torchaudio==2.9.*"],
)


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
    quick: bool = arguments.quick
    BENCH.mkdir(exist_ok=True)
    count = arguments.count or (8 if quick else 16)
    questions = arguments.rows or BENCH / "questions.jsonl"
    if not arguments.rows:
        write_questions(questions, count)
    trl = peer_python("trl", ["trl==1.16.0", "torch==2.13.0"])
    folder = str(open_model("smollm2-135m-instruct-q4_1").folder)
    rows = str(BENCH / "train_rows.json")
    run_json(THIS, PEERS / "train_rows.py", folder, str(questions), str(count), rows)
    dtype = resolve_dtype("auto", "cpu")

    def ours(method: str = "full", objective: str = "sft", dtype: str = dtype, steps: int = 3, rate: float = 1e-9) -> Run:
        given = (dtype, str(steps), method, objective, str(rate))
        return run_json(THIS, PEERS / "etymon_train.py", folder, rows, *given)

    def theirs(dtype: str, layout: str, steps: int = 2, rate: float = 1e-9) -> Run:
        return run_json(trl, PEERS / "trl_sft.py", folder, rows, dtype, layout, str(steps), str(rate))

    def llamafactory(layout: str) -> Run:
        return run_json(peer_python(*LLAMAFACTORY), PEERS / "llamafactory_sft.py", folder, rows, "bfloat16", layout, "2")

    def their_dpo(dtype: str) -> Run:
        return run_json(trl, PEERS / "trl_dpo.py", folder, rows, dtype, "2")

    def full() -> Run:
        return ours()

    peers: dict[str, tuple[Callable[[], Run], Callable[[], Run]]] = {
        "TRL bfloat16 padded": (full, lambda: theirs("bfloat16", "padded")),
        "TRL bfloat16 packed": (full, lambda: theirs("bfloat16", "packed")),
        "TRL float32 padded": (full, lambda: theirs("float32", "padded")),
        "etymon LoRA": (full, lambda: ours("lora")),
        "etymon LoRA q, v": (full, lambda: ours("lora-qv")),
        "TRL DPO bfloat16": (lambda: ours(objective="dpo"), lambda: their_dpo("bfloat16")),
    }
    if not quick:
        peers["TRL float32 packed"] = full, lambda: theirs("float32", "packed")
        peers["LLaMA-Factory bfloat16 padded"] = full, lambda: llamafactory("padded")
        peers["LLaMA-Factory bfloat16 packed"] = full, lambda: llamafactory("packed")
        peers["TRL DPO float32"] = lambda: ours(objective="dpo"), lambda: their_dpo("float32")
    runs: dict[str, list[Run]] = {}
    ratio: dict[str, float] = {}
    for _ in range(1 if quick else arguments.repeats):
        for name, (us, them) in peers.items():
            mine = "etymon DPO" if "DPO" in name else "etymon"
            runs.setdefault(mine, []).append(us())
            runs.setdefault(name, []).append(them())
    for name in peers:
        ratio[name] = per_second(runs["etymon DPO" if "DPO" in name else "etymon"]) / per_second(runs[name])
    reference = ours(dtype="float32", steps=1)
    products = peak.measure(getattr(torch, dtype))
    first = runs["etymon"][0]
    flop_per_second = per_second(runs["etymon"]) * first["flop"] / 1e9
    figures: dict[str, Any] = {
        "ratio_padded": ratio["TRL bfloat16 padded"],
        "ratio_packed": ratio["TRL bfloat16 packed"],
        "ratio_padded_float32": ratio["TRL float32 padded"],
        "peak_share": flop_per_second / max(products.values()),
        "products_share": flop_per_second / mean_rate(products),
        "loss_gap": abs(reference["losses"][0] - runs["TRL float32 padded"][0]["losses"][0]),
        "dtype_gap": abs(first["losses"][0] - reference["losses"][0]),
        "memory_ratio": first["peak_bytes"] / runs["TRL bfloat16 padded"][0]["peak_bytes"],
        "lora_speedup": 1 / ratio["etymon LoRA"],
        "lora_qv_speedup": 1 / ratio["etymon LoRA q, v"],
        "ratio_dpo": ratio["TRL DPO bfloat16"],
        "dpo_memory_ratio": runs["etymon DPO"][0]["peak_bytes"] / runs["TRL DPO bfloat16"][0]["peak_bytes"],
        "tokens_per_second": first["tokens"] * per_second(runs["etymon"]),
        "our_dtype": dtype,
        "best_matmul_gflops": max(products.values()),
        "rows": count,
        "tokens": first["tokens"],
    }
    if not quick:
        figures["ratio_packed_float32"] = ratio["TRL float32 packed"]
        figures["ratio_llamafactory_padded"] = ratio["LLaMA-Factory bfloat16 padded"]
        figures["ratio_llamafactory_packed"] = ratio["LLaMA-Factory bfloat16 packed"]
        figures["ratio_dpo_float32"] = ratio["TRL DPO float32"]
        expected = runs["TRL DPO float32"][0]["chosen_log_probability"]
        figures["dpo_gap"] = abs(ours(objective="dpo", dtype="float32", steps=1)["chosen_log_probability"] / expected - 1)
        figures["curve_gap"] = distance(*(ours(dtype=each, steps=10, rate=3e-4) for each in (dtype, "float32")))
        figures["curve_gap_trl"] = distance(*(theirs(each, "padded", 10, 3e-4) for each in ("bfloat16", "float32")))
    pairs = sum(len(row["prompt"]) * 2 + sum(map(len, row["answers"])) for row in json.loads(Path(rows).read_text()))
    table = [("", "tokens/s", "first loss", "peak memory")]
    for name, of_name in runs.items():
        table.append(
            line(f"{name} {dtype}" if "etymon" in name else name, of_name, pairs if "DPO" in name else first["tokens"])
        )
    finish(figures, table, arguments.json)
    assert all(run.get("same_ids", True) for each in runs.values() for run in each), "a peer was given other tokens"
    assert figures["loss_gap"] < 1e-4, "both did not do the same work"
    assert figures["dtype_gap"] < 2e-2, "bfloat16 did not do the work of float32"
    assert figures.get("dpo_gap", 0) < 1e-3, "both did not do the same work"


def mean_rate(products: dict[str, float]) -> float:
    """GFLOP/s of one token's products together: layers by their scalars, the head for half of the tokens."""
    flop = {name: peak.SHAPES[name][1] * peak.SHAPES[name][2] for name in products if name not in ("square", "head")}
    flop = {name: 30 * each for name, each in flop.items()} | {"head": 576 * 49152 / 2}
    return sum(flop.values()) / sum(each / products[name] for name, each in flop.items())


def distance(run: Run, reference: Run) -> float:
    """Mean distance of two curves of losses."""
    return statistics.fmean(abs(a - b) for a, b in zip(run["losses"], reference["losses"], strict=True))


def line(name: str, runs: list[Run], tokens: int) -> tuple[str, ...]:
    run = runs[0]
    return (name, f"{tokens * per_second(runs):.1f}", f"{run['losses'][0]:.4f}", f"{run['peak_bytes'] / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
