"""The user's cache: one store of foundations that every workspace shares."""

import os
from pathlib import Path

import platformdirs

from etymon.errors import EtymonError
from etymon.store import Store

VARIABLE = "ETYMON_CACHE"


def user_cache() -> Store:
    """The store at ``$ETYMON_CACHE``, else in the user's cache folder. Raises EtymonError where it cannot be written."""
    root = Path(os.environ.get(VARIABLE) or platformdirs.user_cache_dir("etymon"))
    try:
        root.mkdir(parents=True, exist_ok=True)
        writable = os.access(root, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise EtymonError(f"The cache folder {root} cannot be written.", f"Set {VARIABLE} to a folder that can be.")
    return Store(root)
