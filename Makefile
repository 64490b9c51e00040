# `make demo` shows what pagetrail does, `make test` checks it; both set up .venv by themselves. `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?= -n auto --dist loadfile
BENCH_ARGS ?= --demo --record --output benchmarks/results/performance.json --page docs

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
LINT_AND_COMPILE = { { $(BIN)/python -m tests.compiled && { $(BIN)/pytest -qq --collect-only >/dev/null || true; }; } & } && $(MAKE) --no-print-directory lint && wait $$!
SHELL := /bin/sh

# Hundreds of processes import the same modules: even where no bytecode may lie beside the sources, each is compiled once.
ifdef PYTHONDONTWRITEBYTECODE
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/pycache
endif

.PHONY: help demo test check nightly boundscheck mutations lint format types layers coverage bench kafka kafka-faults clean
.NOTPARALLEL:
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(RUNTIME)  ## a real kernel's recording goes in, a checked answer comes out
	@$(BIN)/pagetrail demo

# Jit functions are compiled once, beside the lint, before tests begin: or every process that comes first would do it by itself.
# So are the tests, whose asserts pytest rewrites as it collects them; what goes wrong there, the run itself says.

test: $(DEV)  ## lint, types, layers, and all tests
	@$(LINT_AND_COMPILE) && $(BIN)/pytest $(PYTEST_ARGS)

# The quick part: no broker, no recording of a real kernel, no long search, and no process for every test.
SLOW_ROOMS := captures commands contracts faults kafka kernel mutations properties replay/run

check: $(DEV)  ## lint, types, layers, and the tests that take seconds
	@$(LINT_AND_COMPILE) && $(BIN)/pytest $(PYTEST_ARGS) -m 'not slow and not captures' \
	    $(foreach room,$(SLOW_ROOMS),--ignore tests/$(room)) --ignore tests/test_docs.py \
	    --ignore tests/queries/test_feed.py --ignore tests/queries/test_log_elsewhere.py --ignore tests/queries/test_other_store.py

# What takes hours: each property with 2,000 examples or 10,000 histories, each rule disabled, brokers killed at random instants.
nightly: lint boundscheck mutations kafka-faults  ## the long searches
	@HYPOTHESIS_PROFILE=nightly $(BIN)/pytest $(PYTEST_ARGS) --dist load tests/properties tests/replay tests/queries tests/schemas \
	    tests/producers tests/model tests/faults tests/commands/test_memory.py

boundscheck: $(DEV)  ## jit functions that check every index they use
	@NUMBA_BOUNDSCHECK=1 $(BIN)/pytest $(PYTEST_ARGS) tests/producers/formats tests/replay/fold tests/replay/rules \
	    tests/replay/store tests/replay/run/test_resume.py tests/replay/run/test_splits.py tests/queries/test_answers.py \
	    tests/schemas/test_jit.py
	@NUMBA_BOUNDSCHECK=1 HYPOTHESIS_PROFILE=nightly $(BIN)/pytest $(PYTEST_ARGS) tests/properties/test_harmed_files.py -k 'our_own and 0'

mutations: $(DEV)  ## disable each rule of the fold by itself: some test has to fail
	@HYPOTHESIS_PROFILE=nightly $(BIN)/pytest $(PYTEST_ARGS) --dist load tests/mutations

lint: $(DEV)  ## format, lint, types and layers are in order
	@$(BIN)/ruff format --check --quiet . || { echo "some files are not formatted: run 'make format'" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(DEV)  ## format the tree and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(DEV)  ## types only
	@$(BIN)/mypy

layers: $(DEV)  ## layers only
	@$(BIN)/lint-imports --no-logo

coverage: $(DEV)  ## branch coverage, with the JIT off so that jit functions count
	@NUMBA_DISABLE_JIT=1 $(BIN)/pytest $(PYTEST_ARGS) --cov

bench: $(DEV)  ## benchmarks, beside their peers and limits; writes docs/performance.md (BENCH_ARGS='--events 1M --runs 1' does not)
	@$(BIN)/python -m benchmarks.performance $(BENCH_ARGS)
	@for name in ftrace_text kafka; do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

kafka: $(RUNTIME)  ## Apache Kafka on loopback until Ctrl-C (BROKERS=3, PORT=9092, DATA=DIR): see kafka/README.md
	@$(BIN)/python -m tests.kafka --brokers $(or $(BROKERS),1) --port $(or $(PORT),9092) $(if $(DATA),--data '$(DATA)')

kafka-faults: $(DEV)  ## replayers and brokers killed, stopped, cut off at random instants (ROUNDS=20, SEED=N)
	@$(BIN)/python -m tests.faults.kafka --rounds $(or $(ROUNDS),20) $(if $(SEED),--seed $(SEED))

clean:  ## remove everything that can be made again, .venv too
	rm -rf $(VENV) .cache .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip comes last into a new environment: where it is missing, making it was interrupted or impossible.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "expected Python 3.11 or newer as '$(PYTHON)', found: $$($(PYTHON) --version 2>&1)." >&2; \
	    echo "Install one, and name it: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "'$(PYTHON) -m venv' does not work here: on Debian and Ubuntu it is a package of its own." >&2; \
	    echo "Install it: apt install python3-venv" >&2; exit 1; }
	@echo "making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml | $(BIN)/pip
	@echo "installing pagetrail into $(VENV) ..."
	@$(PIP) install --quiet --no-compile --editable .
	@touch $@

$(DEV): pyproject.toml | $(BIN)/pip
	@echo "installing pagetrail and the tools for its development into $(VENV) ..."
	@$(PIP) install --quiet --no-compile --editable '.[dev]'
	@touch $@ $(RUNTIME)
