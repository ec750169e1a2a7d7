"""Training speed beside TRL's SFTTrainer: the same rows, the same model, whole optimizer steps, one machine.

Each optimizer step is one pass over all rows, so both give the mean loss over the same supervised tokens at the same
weights (the learning rate is 1e-9): that is the check that both did the same work. Runs are interleaved; the first step of
each is a warm-up and not counted. Peers run in bfloat16 (the Trainer's usual setting) and in float32, padded and packed;
Etymon runs in what `dtype: auto` picks on this machine.

Keys: ratio_padded, ratio_packed (against TRL in bf16), ratio_padded_float32, ratio_packed_float32, peak_share (useful FLOP
per second over the best matrix product this machine does), loss_gap, memory_ratio.
"""

import ast
import json
import sysconfig
import time
from pathlib import Path

import torch

from common import BENCH, THIS, finish, median, options, peer_python, run_json
from etymon.foundation.sources import open_model
from etymon.train.device import resolve_dtype

PEERS = Path(__file__).parent / "peers"


def write_rows(path: Path, count: int, characters: int) -> None:
    """Docstrings of the standard library, spread over its modules: real text of very different lengths."""
    texts = []
    for source in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and len(ast.get_docstring(node) or "") > 200:
                texts.append(f"{source.stem}.{node.name}\n\n{ast.get_docstring(node)}"[:characters])
    chosen = texts[:: max(1, len(texts) // count)][:count]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in chosen), "utf-8")


def best_matmul(dtype: torch.dtype) -> float:
    """FLOP per second of the best of a few matrix products."""
    best = 0.0
    for m, k, n in [(2048, 576, 1536), (2048, 2048, 2048), (2048, 1536, 576)]:
        a, b = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
        for _ in range(8):
            begun = time.monotonic()
            a @ b
            best = max(best, 2 * m * k * n / (time.monotonic() - begun))
    return best


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="jsonl with a `text` column, instead of docstrings")
    arguments = parser.parse_args()
    BENCH.mkdir(exist_ok=True)
    rows = arguments.rows or BENCH / "train_rows.jsonl"
    if not arguments.rows:
        write_rows(rows, *((8, 1200) if arguments.quick else (64, 3000)))
    trl = peer_python("trl", ["trl==1.16.0", "torch==2.13.0"])
    folder = str(open_model("smollm2-135m-instruct-q4_1").folder)
    dtype = resolve_dtype("auto", "cpu")
    steps = "2" if arguments.quick else "3"
    layouts = [("bfloat16", "padded"), ("bfloat16", "packed"), ("float32", "padded"), ("float32", "packed")]
    ours: list[dict[str, float]] = []
    theirs = {}
    for peer_dtype, layout in layouts:
        ours.append(run_json(THIS, PEERS / "etymon_train.py", folder, str(rows), dtype, steps))
        theirs[peer_dtype, layout] = run_json(trl, PEERS / "trl_sft.py", folder, str(rows), peer_dtype, layout, steps)

    def speed(run: dict) -> float:  # type: ignore[type-arg]
        return run["tokens"] / median(run["seconds"][1:])

    our_speed = median([speed(run) for run in ours])
    peak = best_matmul(getattr(torch, dtype))
    figures = {
        "ratio_padded": our_speed / speed(theirs["bfloat16", "padded"]),
        "ratio_packed": our_speed / speed(theirs["bfloat16", "packed"]),
        "ratio_padded_float32": our_speed / speed(theirs["float32", "padded"]),
        "ratio_packed_float32": our_speed / speed(theirs["float32", "packed"]),
        "peak_share": our_speed * ours[0]["flop_per_token"] / peak,
        "loss_gap": abs(ours[0]["losses"][0] - theirs["float32", "padded"]["losses"][0]),
        "memory_ratio": ours[0]["peak_bytes"] / theirs["float32", "padded"]["peak_bytes"],
        "tokens_per_second": our_speed,
        "our_dtype": dtype,
        "best_matmul_gflops": peak / 1e9,
    }
    table = [("", "tokens/s", "first loss", "peak memory")]
    for name, run in [(f"etymon {dtype}", ours[0])] + [(f"TRL {d} {layout}", run) for (d, layout), run in theirs.items()]:
        speed_shown = our_speed if name.startswith("etymon") else speed(run)
        table.append((name, f"{speed_shown:.1f}", f"{run['losses'][0]:.4f}", f"{run['peak_bytes'] / 2**30:.2f} GiB"))
    finish(figures, table, arguments.json)
    assert figures["loss_gap"] < 2e-3, "both did not do the same work"


if __name__ == "__main__":
    main()
