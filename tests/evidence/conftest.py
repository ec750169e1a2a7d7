"""One small real run for all tests of evidence, and copies of it to damage."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence_run import Run, make_run
from signing_run import record_run

from etymon.store import Artifact, Store


@pytest.fixture(scope="session")
def run(make_llama: Callable[..., Path], some_texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = make_run(make_llama(seed=3), some_texts, tmp_path_factory.mktemp("evidence-run"))
    made.evidence()
    shutil.copytree(made.store.root / "artifacts", made.untouched)
    return made


@pytest.fixture(scope="session")
def evidence(run: Run) -> Artifact:
    return run.evidence()


@pytest.fixture
def copied(run: Run, evidence: Artifact, tmp_path: Path) -> Store:
    """The whole run in a place where it may be damaged, without what other tests made of it."""
    shutil.copytree(run.untouched, tmp_path / "workspace" / "artifacts")
    return Store(tmp_path / "workspace")


@pytest.fixture(scope="module")
def recorded(run: Run, evidence: Artifact) -> Store:
    record_run(run, evidence)
    return run.store
