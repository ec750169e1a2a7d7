"""What this machine's best matrix products reach, in the shapes that training the quickstart's base is made of.

Keys: gflops_float32, gflops_bfloat16 (the best shape of each), and all shapes under `shapes`.
"""

import time

import torch

from common import finish, options

SHAPES = {  # rows of 2,048 tokens through SmolLM2-135M; a large square as the ceiling
    "qkv": (2048, 576, 960),
    "output": (2048, 576, 576),
    "gate and up": (2048, 576, 3072),
    "down": (2048, 1536, 576),
    "head": (512, 576, 49152),
    "square": (2048, 2048, 2048),
}


def gflops(dtype: torch.dtype, m: int, k: int, n: int, seconds: float = 0.5) -> float:
    """The fastest of many products, in 10⁹ FLOP a second."""
    a, b = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
    out = torch.empty(m, n, dtype=dtype)
    best, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        torch.mm(a, b, out=out)
        best = max(best, 2 * m * k * n / (time.monotonic() - begun) / 1e9)
    return best


def measure(dtype: torch.dtype) -> dict[str, float]:
    return {name: gflops(dtype, *shape) for name, shape in SHAPES.items()}


def main() -> None:
    arguments = options(__doc__ or "").parse_args()
    found = {str(dtype).removeprefix("torch."): measure(dtype) for dtype in (torch.float32, torch.bfloat16)}
    table = [("shape", *found)] + [(name, *(f"{found[dtype][name]:.0f}" for dtype in found)) for name in SHAPES]
    figures = {f"gflops_{dtype}": max(shapes.values()) for dtype, shapes in found.items()}
    finish(figures | {"shapes": found, "threads": torch.get_num_threads()}, table, arguments.json)


if __name__ == "__main__":
    main()
