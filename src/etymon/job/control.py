"""The control: what training does to the foundation when the data has nothing to do with the recipe's.

The derivative minus the control is what the new data earned, so the control must see as many tokens as the derivative, under
the same settings, and none of its documents.
"""

from pyarrow import parquet

from etymon.errors import EtymonError
from etymon.recipe import Budget, Corpus, Dpo, Kto, Orpo, Recipe, Sft, Source, Train
from etymon.store import Artifact

_DEFAULT = Corpus(sources=(Source(name="python-docs", kind="python-docs", license="PSF-2.0"),))


def control_corpus(recipe: Recipe) -> Corpus:
    """The recipe's ``control_corpus``, by default the documentation of Python's standard library.

    Raises EtymonError where the default is no other data than the recipe's own.
    """
    if recipe.control_corpus is not None:
        return recipe.control_corpus
    if own := next((source for source in recipe.corpus.sources if source.kind == "python-docs"), None):
        raise EtymonError(
            f"The control would be trained on the documentation of Python, which the recipe's source {own.name!r} is too.",
            "Give `control_corpus`: a corpus section with data that has nothing to do with yours.",
        )
    return _DEFAULT


def control_settings(recipe: Recipe, derivative_tokens: int | None) -> Train:
    """The recipe's training with a budget in tokens; on the default data, which is documents, the objective is ``pretrain``.

    ``derivative_tokens`` are those of its training; only a budget in epochs has to be counted in them.
    """
    settings = recipe.train
    if settings.budget.tokens is None:
        assert derivative_tokens is not None  # it is trained first
        settings = settings.model_copy(update={"budget": Budget(tokens=derivative_tokens)})
    if recipe.control_corpus is None:
        unused = {"sft": Sft(), "dpo": Dpo(), "orpo": Orpo(), "kto": Kto()}
        settings = settings.model_copy(update={"objective": "pretrain", **unused})
    return settings


def refuse_related(control: Artifact, corpus: Artifact) -> None:
    """Raise EtymonError where the control would learn from documents of the recipe's corpus, held-out ones included."""
    learned = _documents(control, "train.parquet")
    if shared := learned & (_documents(corpus, "train.parquet") | _documents(corpus, "heldout.parquet")):
        raise EtymonError(
            f"The control's corpus is not unrelated: {len(shared):,} of its {len(learned):,} documents are in the recipe's "
            "corpus too.",
            "Name sources in `control_corpus` that have nothing to do with those in `corpus`.",
        )


def _documents(corpus: Artifact, table: str) -> set[str]:
    return set(parquet.read_table(corpus.file(table), columns=["id"])["id"].to_pylist())
