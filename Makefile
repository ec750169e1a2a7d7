# make quickstart: from nothing to a ranked, explained derivative.  make test: the tests.  Both set up what they need.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
# Two test files at a time, a thread each: half the time of one after the other with two threads. In the order of their
# names: by the number of their tests, which is the default, the longest would come last and alone.
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: setup quickstart test test-all lint clean

setup: $(STAMP)

# The stamp is written last, so an installation that was cut off is taken up again.
$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

quickstart: setup
	$(VENV)/bin/etymon run examples/quickstart.yaml

# The fast tests. HF_HUB_OFFLINE and DO_NOT_TRACK are set by tests/conftest.py.
test: setup
	$(PYTEST) -m 'not slow'

# Also those that need the base model (fetched from PyPI) or take long.
test-all: setup
	$(PYTEST)

lint: setup
	$(VENV)/bin/ruff check src tests benchmarks
	$(VENV)/bin/ruff format --check src tests benchmarks
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

clean:
	rm -rf $(VENV) .etymon .bench .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
