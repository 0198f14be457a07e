# Gavel's commands for people who work on it. `make` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The tests start hundreds of processes. Each would compile all of Gavel anew where the environment forbids to keep bytecode.
export PYTHONDONTWRITEBYTECODE :=

# The arguments that `make test` gives to pytest. The workers share one Kafka and one PostgreSQL, and mostly wait for them.
PYTEST_ARGS ?= -n 4 --dist loadfile --no-loadscope-reorder
# The minutes for which `make soak` injects faults, and the seed of their order.
MINUTES ?= 20
SEED ?= 1

# GNU make 3.81, which macOS has, cannot keep the outputs of parallel commands apart.
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.PHONY: help install demo test faults hostile lint lint-types lint-prose lint-style format docs check-docs bench soak lock sbom pin-images clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/installed-embedded ## Make the virtual environment .venv with Gavel in it
	@echo "Gavel is installed. Activate it: source $(VENV)/bin/activate"

demo: $(VENV)/installed-embedded ## Judge real generations, with everything in one process; it ends by itself
	@$(BIN)/python -m examples.demo

test: $(VENV)/installed-dev ## Install everything that the tests need and run all of them
	@.ci/install-services
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

# Two checks run at a time, and each prints its output in one piece. The types take the longest, so they begin first.
lint: $(VENV)/installed-dev ## Check style, formatting, types, prose, and that generated pages are up to date
	@$(MAKE) --no-print-directory --keep-going --jobs 2 $(SYNC) lint-types lint-prose lint-style check-docs

lint-types: $(VENV)/installed-dev
	@$(BIN)/mypy

lint-prose: $(VENV)/installed-dev
	@$(BIN)/python .ci/check_prose.py

lint-style: $(VENV)/installed-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

docs: $(VENV)/installed-dev ## Write the pages of docs/ that are made from the code
	@$(BIN)/python .ci/make_docs.py
	@$(BIN)/python .ci/make_dashboards.py

check-docs: $(VENV)/installed-dev ## Check that those pages are up to date
	@$(BIN)/python .ci/make_docs.py --check
	@$(BIN)/python .ci/make_dashboards.py --check

format: $(VENV)/installed-dev ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/installed-dev ## Measure everything against its baseline, the stream on a real Kafka
	@.ci/install-services
	@$(BIN)/python -m benchmarks

screenshots: $(VENV)/installed-dev ## Make the pictures of the console that the README shows
	@.ci/install-services
	@$(BIN)/python -m tests.browser.readme_pictures docs/pictures

hostile: $(VENV)/installed-dev ## Run only the tests of hostile input, then a mixed load of it for five minutes
	@.ci/install-services
	@$(BIN)/python -m pytest tests/hostile
	@$(BIN)/python -m tests.hostile.mixed_load

faults: $(VENV)/installed-dev ## Run only the fault tests: outages, cuts, members, topics, and a count of every result
	@.ci/install-services
	@$(BIN)/python -m pytest tests/faults

soak: $(VENV)/installed-dev ## Inject faults under load for MINUTES=20 from SEED=1, and count every result
	@.ci/install-services
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --seed $(SEED)

lock: $(VENV)/installed-dev ## Pin all dependencies to the newest versions that fit pyproject.toml
	@$(PIP) uv
	@for lock in "dev --upgrade --all-extras --group dev" "runtime --extra otel -c locks/dev.txt" "embedded --extra embedded -c locks/dev.txt"; do \
	  set -- $$lock; name=$$1; shift; \
	  $(BIN)/uv pip compile --quiet pyproject.toml "$$@" --universal --generate-hashes --no-header -o locks/$$name.txt || exit 1; \
	done
	@echo 'setuptools>=77' | $(BIN)/uv pip compile --quiet - --upgrade --universal --generate-hashes --no-header --no-annotate -o locks/build.txt

sbom: $(VENV)/installed-dev ## Write the packages of the image as CycloneDX to build/gavel.cdx.json
	@$(BIN)/python .ci/make_sbom.py locks/runtime.txt build/gavel.cdx.json

pin-images: ## Pin every image of Dockerfile and compose.yaml by its digest; needs Docker and a network
	@$(PYTHON) .ci/pin_images.py

clean: ## Remove everything that these commands made: environment, downloads, caches, embedded data
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
