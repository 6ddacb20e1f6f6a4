# The newcomer's two commands are `make demo` and `make test`. Both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= runs/demo

.PHONY: help setup demo test check lint types contract unit test-heavy bench-peers figures golden clean

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "safepursuit needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + "; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(VENV)/ready  ## Create .venv with the pinned versions

demo: setup  ## Train BarrierNet against the random evader and judge it on 1,000 held-out episodes
	$(BIN)/safepursuit train --method barriernet --evader random --obstacles 2 --timesteps 2_000_000 --seed 42 --run-dir $(RUN) --overwrite
	$(BIN)/safepursuit evaluate $(RUN) --episodes 1000

test: check  ## Lint, types, import contract and tests: what CI runs
check: lint types contract unit

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

contract: setup
	$(BIN)/lint-imports

unit: setup
	$(BIN)/pytest -n 2 --dist loadfile

test-heavy: setup  ## The long proofs and trainings
	$(BIN)/pytest -m heavy

clean:  ## Remove what can be made again
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
