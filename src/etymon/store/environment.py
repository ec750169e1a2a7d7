"""What a result may depend on besides its config: library versions, instruction set, threads."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = ("etymon", "torch", "transformers", "tokenizers", "peft", "lm-eval", "daft", "numpy", "scipy", "gguf")


def environment() -> dict[str, str]:
    """Library versions, interpreter, machine and thread settings, as plain strings."""
    facts = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    for library in _LIBRARIES:
        try:
            facts[library] = version(library)
        except PackageNotFoundError:
            continue
    facts["cpus"] = str(os.cpu_count() or 0)
    facts["instruction_set"] = instruction_set()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        if name in os.environ:
            facts[name] = os.environ[name]
    return facts


def instruction_set() -> str:
    """The vector extensions that decide which matrix kernels run, such as ``avx2 avx512f amx_bf16``."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
    except OSError:
        return platform.processor() or "unknown"
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
    return " ".join(flag for flag in known if flag in flags) or "baseline"
