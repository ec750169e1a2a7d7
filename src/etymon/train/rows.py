"""Training rows as text, so that a person can see what the model sees and what it is asked to predict."""

from etymon.foundation.model import Model
from etymon.foundation.network import load_tokenizer
from etymon.progress import Clock, silent
from etymon.store import Artifact
from etymon.train.build import plan_for, read_pieces
from etymon.train.packing import packs_of_step
from etymon.train.stage import TrainMeaning


def rendered_rows(model: Model, corpus: Artifact, trained: Artifact, count: int) -> list[str]:
    """The first ``count`` pieces that the training saw. Tokens that are not supervised stand between ⟦ and ⟧."""
    settings = TrainMeaning.model_validate(trained.manifest.meaning).settings
    tokenizer = load_tokenizer(model)
    pieces = read_pieces(model, corpus, settings.sequence_length, _quiet)
    lines: list[str] = []
    for number, step in enumerate(plan_for(pieces, settings).steps, start=1):
        for pack in packs_of_step(pieces.lengths.tolist(), step, settings.tokens_per_step):
            for index in pack:
                if len(lines) == count:
                    return lines
                first, *rest = pieces.piece(index).tolist()
                text = f"⟦{tokenizer.decode([first])}⟧{tokenizer.decode(rest)}"
                lines.append(f"--- step {number}, {len(rest) + 1} tokens, {len(rest)} supervised\n{text}")
    return lines


def _quiet(doing: str, *, total: float = 0, unit: str = "") -> Clock:
    return Clock(silent, "show", doing, total=total, unit=unit)
