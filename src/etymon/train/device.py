"""Which device and compute type a run uses, decided before its address is; without PyTorch where the system can tell."""

import platform
import sys
from pathlib import Path
from typing import Literal

from etymon.errors import EtymonError
from etymon.store.environment import instruction_set

_ACCELERATORS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Device files of NVIDIA's driver, of WSL's, and of AMD's: without any of them PyTorch finds no GPU on Linux."""


def resolve_device(asked: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """``auto`` is CUDA where there is one."""
    found = asked != "cpu" and _cuda_found()
    if asked == "cuda" and not found:
        raise EtymonError("execution.device is cuda, but PyTorch sees no CUDA device.", "Set execution.device: cpu.")
    return "cuda" if found else "cpu"


def resolve_dtype(
    asked: Literal["auto", "float32", "bfloat16"], device: Literal["cpu", "cuda"]
) -> Literal["float32", "bfloat16"]:
    """``auto`` is bfloat16 where the hardware multiplies it natively.

    A CPU without AVX512-BF16 or AMX emulates it: measured on such a machine, 59 GFLOP/s against 253 in float32.
    """
    if asked != "auto":
        return asked
    if device == "cuda":
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    native = {"avx512_bf16", "amx_bf16"} & set(instruction_set().split())
    return "bfloat16" if native and platform.machine() in ("x86_64", "AMD64") else "float32"


def _cuda_found() -> bool:
    if sys.platform == "linux" and not any(Path(device).exists() for device in _ACCELERATORS):
        return False
    import torch

    return torch.cuda.is_available()
