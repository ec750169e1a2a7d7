"""The corpora of a run: the recipe's own, and its control's."""

from collections.abc import Mapping
from typing import Any

from etymon.corpus import build as corpus_build
from etymon.corpus.sources.find import corpus_inputs
from etymon.job.control import control_corpus, refuse_related
from etymon.job.items import items_of_tasks
from etymon.job.job import Job
from etymon.job.summaries import corpus_line
from etymon.recipe import Corpus
from etymon.store import Artifact, Config, Input, Stage


def build_corpora(job: Job) -> tuple[Artifact, Artifact | None]:
    """The recipe's corpus, and its control's where it has one: checked to be other documents."""
    if "control" not in job.recipe.baselines:
        return build_corpus(job), None
    asked = control_corpus(job.recipe)
    corpus, control = build_corpus(job), _corpus(job, "corpus control", asked)
    refuse_related(control, corpus)
    return corpus, control


def build_corpus(job: Job) -> Artifact:
    """The recipe's sources, curated and split."""
    return _corpus(job, "corpus", job.recipe.corpus)


def _corpus(job: Job, role: str, asked: Corpus) -> Artifact:
    sources = corpus_inputs(asked, job.folder, job.store.digests, job.listener)
    parts: list[Artifact] = []

    def obtain(
        part: str, stage: Stage[Any, Any], inputs: Mapping[str, Input], meaning: Config, execution: Config
    ) -> Artifact:
        if part:
            parts.append(job.obtain(f"{part} of the {role}", stage, inputs, meaning, execution))
            return parts[-1]
        return job.obtain(role, stage, inputs, meaning, execution, corpus_line, parts)

    return corpus_build.build_corpus(
        asked,
        sources,
        obtain,
        job.folder,
        items=items_of_tasks(job),
        tokenizer=_tokenizer(job) if asked.mix else None,
        data_runner=job.recipe.execution.data_runner,
    )


def _tokenizer(job: Job) -> Input:
    from etymon.foundation.model import tokenizer_of
    from etymon.foundation.sources import open_model

    return tokenizer_of(open_model(job.foundation_source, listener=job.listener))
