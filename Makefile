# Two commands: `make quickstart` runs the main job, `make test` passes the tests.
# Each sets up what it needs in .venv. `make lint`, `make docs` and `make test-fast` are for who
# changes the code, see CONTRIBUTING.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROCESSES ?= 2

.PHONY: quickstart test test-fast wheel-test pythons lint faults interruptions format docs docs-serve lock lowest clean

quickstart: $(VENV)/.installed
	$(BIN)/halocline run configs/quickstart.yaml

# Tests of one file stay in one process, which makes its fixtures once.
test: $(VENV)/.installed
	$(BIN)/python -m pytest -q --numprocesses $(PROCESSES) --dist loadfile

test-fast: $(VENV)/.installed  # trains no network; about a minute
	$(BIN)/python -m pytest -q -m "not slow"

wheel-test: $(VENV)/.installed  # the wheel in a fresh environment elsewhere; about a minute
	.ci/wheel

pythons: $(VENV)/.installed  # the same under Python 3.11 to 3.13, as far as they are installed
	.ci/pythons

faults: $(VENV)/.installed  # damaged products and inputs, 270 of them; two to ten minutes
	$(BIN)/python -W ignore -m tests.faults.campaign

# Signals at 50 random times, 20 pairs of jobs at once, 20 flipped bits: half an hour on two cores.
# One trial: TRIALS=17; fewer of a kind: TRIALS="--interruptions 10 --two-jobs 0". Linux only.
interruptions: $(VENV)/.installed
	$(BIN)/python -W ignore -m tests.faults.interruptions $(TRIALS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Not --quiet: then --strict sees no warnings, and broken links pass.
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

# Every distribution is pinned with the hashes of its files. The CPU build of PyTorch is taken where
# pip knows of one, otherwise that of the package index. Sources are built without
# pip's cache: a wheel that another environment built would hide that this one cannot build it.
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOCKED := $(PIP) install --quiet --no-deps --require-hashes
REQUIREMENTS := $(wildcard requirements/*.txt)

$(VENV)/.installed: pyproject.toml $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v[:2] <= (3, 13) and f"Halocline needs Python 3.11 to 3.13, found {v[0]}.{v[1]}; set PYTHON=python3.12, say")'
	@echo "Installing into $(VENV): a few minutes, mostly PyTorch"
	$(PYTHON) -m venv $(VENV)
	$(LOCKED) --only-binary :all: --requirement requirements/torch-cpu.txt 2>/dev/null \
		|| $(LOCKED) --only-binary :all: --requirement requirements/torch.txt
	$(LOCKED) --only-binary :all: --requirement requirements/locked.txt
	$(LOCKED) --no-cache-dir --no-build-isolation --requirement requirements/sources.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lock:  # after a change of pyproject.toml or constraints.txt; needs uv
	$(PYTHON) requirements/lock.py

# The lowest versions that pyproject.toml allows, in an environment of their own; needs uv.
lowest:
	uv venv --quiet --clear --python $(PYTHON) .lowest
	uv pip install --quiet --python .lowest --resolution lowest-direct --editable \
		".[train,report,basin,observations,remote,kerchunk,dask,dev]"
	.lowest/bin/python -m pytest -q -m "not slow"

clean:  # leaves runs/ alone: a trained model may have cost days
	rm -rf $(VENV) .lowest site
