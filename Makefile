# `make` lists the targets. Each makes what it needs: the virtual environment, and anvil where npm is there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ANVIL := .anvil/.installed
# empty: without a broker
KAFKA ?= .kafka/.installed
CORE := $(VENV)/.core
CORE_SOURCE := $(shell find core \( -name target -o -name fuzz \) -prune -o \( -name '*.rs' -o -name '*.toml' \) -print)
WORKERS ?= 2
# of the tests: most of their time goes into waiting for processes
TEST_WORKERS ?= 4
SEEDS ?= 2000
MINUTES ?= 10

# Tests start tidelog some hundred times: without its bytecode at hand each start compiles all of it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-long lint types rust simulate mutants screenshots soak torture clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

$(KAFKA):
	@mkdir -p .kafka
	@.ci/kafka .kafka
	@touch $@

$(CORE): $(INSTALLED) $(CORE_SOURCE)
	@.ci/core build $(VENV)

demo: $(INSTALLED) ## both main jobs on the embedded store, told step by step
	@$(BIN)/tidelog demo

test: $(INSTALLED) $(ANVIL) $(KAFKA) $(CORE) ## every test
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile -m "not torture" $(ARGS)

lint: $(INSTALLED) ## style and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(INSTALLED) ## static types
	$(BIN)/mypy

rust: ## format, lints and tests of the compiled core, where cargo is
	@.ci/core lint

check: lint types rust test ## lint, types and tests: what CI runs

bench: $(INSTALLED) $(CORE) ## measurements, as ratios against something run beside them
	$(BIN)/python -m bench.chain
	$(BIN)/python -m bench.beside
	$(BIN)/python -m bench.selection
	$(BIN)/python -m bench.ponder
	$(BIN)/python -m bench.store
	$(BIN)/python -m bench.growth
	$(BIN)/python -m bench.market
	$(BIN)/python -m bench.market_path
	$(BIN)/python -m bench.shards
	$(BIN)/python -m bench.serve
	$(BIN)/python -m bench.stream
	$(BIN)/python -m bench.unnoticed
	$(BIN)/python -m bench.rpc
	$(BIN)/python -m bench.tracing
	$(BIN)/python -m bench.abi
	$(BIN)/python -m bench.top

bench-long: $(INSTALLED) $(CORE) ## what a commit and a search cost up to ten million logs; again: goes on
	$(BIN)/python -m bench.growth --long

simulate: $(INSTALLED) ## thousands of simulated runs: SEEDS=2000
	$(BIN)/tidelog sim run --seeds 0-$$(($(SEEDS) - 1)) --jobs $(WORKERS)
	$(BIN)/tidelog sim run --seeds 0-$$(($(SEEDS) / 10)) --jobs $(WORKERS) --chain --contracts
	$(BIN)/tidelog sim run --seeds 0-$$(($(SEEDS) / 10)) --jobs $(WORKERS) --chain --selection
	$(BIN)/tidelog sim run --seeds 0-$$(($(SEEDS) / 10)) --jobs $(WORKERS) --chain --untagged
	$(BIN)/tidelog sim run --seeds 0-$$(($(SEEDS) / 10)) --jobs $(WORKERS) --chain --streams
	$(BIN)/tidelog sim run --seeds 0-$$(($(SEEDS) / 10)) --jobs $(WORKERS) --market --streams

mutants: $(INSTALLED) $(CORE) ## deliberate faults in the code, each to be found by the simulation, those of the core by Python
	$(BIN)/python -m tests.simulation.mutants
	$(BIN)/python -m tests.core.mutants

screenshots: $(INSTALLED) ## the pictures of tidelog top in docs/images, as this version draws them
	$(BIN)/python -m tests.tui.screenshots

soak: $(INSTALLED) ## both jobs against faulty peers, sampled, with a plot: MINUTES=10
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

torture: $(INSTALLED) $(ANVIL) $(KAFKA) $(CORE) ## long searches: hundreds of kills, panics of the core led by coverage
	$(BIN)/python -m pytest -n $(WORKERS) -m torture --timeout 3600 $(ARGS)

clean: ## remove what make has made
	rm -rf $(VENV) .anvil .kafka .ponder .bench core/target build dist demo-out bench-out soak .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
