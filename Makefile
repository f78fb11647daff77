# Two commands: `make quickstart` runs the main job, `make test` passes the tests.
# Each sets up what it needs in .venv. `make lint`, `make docs` and `make test-fast` are for who
# changes the code, see CONTRIBUTING.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-fast lint format docs docs-serve clean

quickstart: $(VENV)/.installed
	$(BIN)/halocline run configs/quickstart.yaml

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q

test-fast: $(VENV)/.installed  # trains no network; about a minute
	$(BIN)/python -m pytest -q -m "not slow"

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v[:2] <= (3, 13) and f"Halocline needs Python 3.11 to 3.13, found {v[0]}.{v[1]}; set PYTHON=python3.12, say")'
	@echo "Installing into $(VENV): a few minutes, mostly PyTorch"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[basin,dev]"
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[docs]"
	@touch $@

clean:  # leaves runs/ alone: a trained model may have cost days
	rm -rf $(VENV) site
