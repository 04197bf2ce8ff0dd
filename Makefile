# `make` lists the targets. Each makes what it needs: the virtual environment, and anvil where npm is there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ANVIL := .anvil/.installed
WORKERS ?= 2
SEEDS ?= 2000
MINUTES ?= 10

# Tests start tidelog some hundred times: without its bytecode at hand each start compiles all of it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check bench lint types simulate mutants soak torture clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tidelog needs Python 3.11 or newer; set PYTHON=..."; exit 1; }
	@echo "setting up $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --upgrade pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps --group specification
	@touch $@

$(ANVIL):
	@mkdir -p .anvil
	@if command -v npm >/dev/null; then .ci/anvil .anvil; else echo "npm is not here: tests against anvil will be skipped"; fi
	@touch $@

demo: $(INSTALLED) ## both main jobs on the embedded store, told step by step
	@$(BIN)/tidelog demo

test: $(INSTALLED) $(ANVIL) ## every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not torture" $(ARGS)

lint: $(INSTALLED) ## style and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(INSTALLED) ## static types
	$(BIN)/mypy

check: lint types test ## lint, types and tests: what CI runs

bench: $(INSTALLED) ## measurements, as ratios against something run beside them
	$(BIN)/python -m bench.chain
	$(BIN)/python -m bench.store
	$(BIN)/python -m bench.market
	$(BIN)/python -m bench.market_path
	$(BIN)/python -m bench.serve
	$(BIN)/python -m bench.rpc

simulate: $(INSTALLED) ## thousands of simulated runs: SEEDS=2000
	$(BIN)/tidelog sim run --seeds 0-$$(($(SEEDS) - 1)) --jobs $(WORKERS)

mutants: $(INSTALLED) ## deliberate faults in the code, each to be found by the simulation
	$(BIN)/python -m tests.simulation.mutants

soak: $(INSTALLED) ## both jobs against faulty peers, sampled, with a plot: MINUTES=10
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

torture: $(INSTALLED) $(ANVIL) ## long searches: hundreds of kills
	$(BIN)/python -m pytest -n $(WORKERS) -m torture --timeout 3600 $(ARGS)

clean: ## remove what make has made
	rm -rf $(VENV) .anvil build dist demo-out bench-out soak .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
