"""How the C library handles large blocks of memory, which decides much of the speed of large tensors on a CPU."""

import ctypes
import gc
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of mallopt(3)
_LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Keep freed blocks for the next tensor instead of handing them back to the kernel. glibc only; harmless elsewhere.

    A block of over 32 MB is otherwise mapped and zeroed page by page each time a tensor of that size is made. Measured on the
    head and loss of 2,048 positions over 49,152 words, forward and backward: 3.0 s, and 1.5 s with this.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, _LARGEST)


def give_back_memory() -> None:
    """Hand freed blocks back to the kernel after all: before a model is loaded where another one worked. glibc only."""
    gc.collect()
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
