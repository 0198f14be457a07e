# Gavel's commands for people who work on it. `make` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What `make test` hands to pytest. The workers share one Kafka and one PostgreSQL; most of the time they wait for something.
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder
# How long `make soak` mixes faults, and from which seed.
MINUTES ?= 20
SEED ?= 1

.PHONY: help demo test faults lint format bench soak lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/installed-embedded ## See real generations judged: everything in one process, ends by itself
	@$(BIN)/python -m examples.demo

test: $(VENV)/installed-dev ## Install what the tests need and run all of them
	@.ci/install-services
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/installed-dev ## Check style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/installed-dev ## Put the code in shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/installed-dev ## Measure everything against its baseline, the stream on a real Kafka
	@.ci/install-services
	@$(BIN)/python -m benchmarks

faults: $(VENV)/installed-dev ## Only the fault tests: outages, cuts, members, topics, and a count of every result
	@.ci/install-services
	@$(BIN)/python -m pytest tests/faults

soak: $(VENV)/installed-dev ## Mix faults under load for MINUTES=20 from SEED=1, and count what came out
	@.ci/install-services
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --seed $(SEED)

lock: $(VENV)/installed-dev ## Pin all dependencies anew, to the newest that fit pyproject.toml
	@$(PIP) uv
	@for lock in "dev --upgrade --all-extras --group dev" "runtime -c locks/dev.txt" "embedded --extra embedded -c locks/dev.txt"; do \
	  set -- $$lock; name=$$1; shift; \
	  $(BIN)/uv pip compile --quiet pyproject.toml "$$@" --universal --generate-hashes --no-header -o locks/$$name.txt || exit 1; \
	done
	@echo 'setuptools>=77' | $(BIN)/uv pip compile --quiet - --upgrade --universal --generate-hashes --no-header --no-annotate -o locks/build.txt

clean: ## Remove what these commands made: environment, downloads, caches, data of embedded mode
	@rm -rf $(VENV) .cache .gavel .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each environment is installed once for each content of its lock.
$(VENV)/installed-%: locks/%.txt locks/build.txt pyproject.toml
	@$(PYTHON) .ci/check_python.py
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing $* dependencies into $(VENV) …"
	@$(PIP) --require-hashes -r locks/build.txt -r locks/$*.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@
