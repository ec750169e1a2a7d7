"""What the reference model thought of the examples, computed once: kept beside the checkpoints, for a resumed run no longer
has the model that training started from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from etymon.foundation.ranks import Ranks
from etymon.store import value_digest
from etymon.store.digest import file_digest


def remembered(folder: Path, key: Any, ranks: Ranks, compute: Callable[[], Tensor]) -> Tensor:
    """The tensor that an earlier attempt computed for ``key``, if its file is intact; else ``compute()``, then kept."""
    stem = f"reference-{value_digest(key)[:16]}"
    found = next(folder.glob(f"{stem}-*.safetensors"), None) if ranks.first else None
    if found and file_digest(found)[:16] != found.stem.removeprefix(f"{stem}-"):
        found = None
    found = ranks.tell(found)
    if found:
        kept: Tensor = load_file(found)["log_probabilities"]
        return kept
    values = compute()
    if ranks.first:
        folder.mkdir(parents=True, exist_ok=True)
        making = folder / f"{stem}.making"
        save_file({"log_probabilities": values.contiguous()}, making)
        making.rename(folder / f"{stem}-{file_digest(making)[:16]}.safetensors")
    return values
