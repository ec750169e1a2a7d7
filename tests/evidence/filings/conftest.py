"""One finished run for all tests of filings; its workspace is only added to."""

from collections.abc import Callable
from pathlib import Path

import pytest
from finished_run import Finished, make_finished


@pytest.fixture(scope="session")
def finished(make_llama: Callable[..., Path], some_texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return make_finished(make_llama(seed=3), some_texts, tmp_path_factory.mktemp("filings-run"))
