"""Artifacts on disk, the stage contract, and the catalog. The lowest floor: it knows no part's nouns."""

from etymon.store.artifact import Artifact, load_artifact
from etymon.store.catalog import Catalog
from etymon.store.digest import DigestCache, file_digest, files_below, root_digest, value_digest
from etymon.store.stage import Config, Draft, Input, Stage
from etymon.store.store import Store

__all__ = [
    "Artifact", "Catalog", "Config", "DigestCache", "Draft", "Input", "Stage", "Store",
    "file_digest", "files_below", "load_artifact", "root_digest", "value_digest",
]  # fmt: skip
