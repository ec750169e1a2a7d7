"""What decides a corpus besides its documents and their signals."""

from etymon.corpus.policy.check import Declaration
from etymon.corpus.policy.policy import Policy
from etymon.recipe import Mix
from etymon.store import Config
from etymon.waivers import Waived


class CorpusMeaning(Config):
    """Of the corpus stage."""

    sources: tuple[Declaration, ...]
    policy: Policy
    waived: tuple[Waived, ...]
    heldout_share: float
    mix: Mix | None
    seed: int
