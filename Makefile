# Every command a person or CI runs. `make` alone explains them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BENCH_VENV := .venv-bench
# dagster-dbt looks for `dbt` on PATH while its definitions load
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DAGSTER_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1

.PHONY: help setup demo test test-long test-traps bench-extraction lint format ui lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## install everything into .venv (Python 3.11-3.13)

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	@echo "Installing into $(VENV) ..."
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(VENV)/bin/uv pip sync --quiet --require-hashes --python $(VENV)/bin/python requirements.lock
	@$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --no-deps --editable .
	@touch $@

demo: setup ## a stand-in portal to filled marts; no account needed
	@b24 demo

test: setup ## everything but the slow proofs
	pytest

test-long: setup ## the slow proofs: many kills, many seeds
	pytest -m long -o timeout=3600

test-traps: setup ## each trap of the API with its defence on and off; prints the table
	pytest tests/traps --defences-off --quiet

bench-extraction: setup $(BENCH_VENV)/.ready ## reading speed beside other clients, a quarter of an hour (ONLY=memory: 5 million deals)
	@python -m benchmarks.extraction $(addprefix --only ,$(ONLY))

# the other clients want packages of their own, so they get an environment of their own
$(BENCH_VENV)/.ready: benchmarks/requirements.lock $(VENV)/.ready
	@uv venv --quiet --clear --python $(VENV)/bin/python $(BENCH_VENV)
	@uv pip sync --quiet --require-hashes --python $(BENCH_VENV)/bin/python benchmarks/requirements.lock
	@touch $@

lint: setup ## ruff, mypy
	ruff check .
	ruff format --check .
	mypy

format: setup ## let ruff rewrite the code
	ruff check --fix-only .
	ruff format .

ui: setup ## Dagster's UI on the job and its schedule
	@b24 ui

LOCK := uv pip compile --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet
lock: setup ## refresh requirements.lock from pyproject.toml
	$(LOCK) pyproject.toml --group dev --output-file requirements.lock
	$(LOCK) --group bench --output-file benchmarks/requirements.lock

clean: ## remove the environment and everything generated (your warehouse in warehouse/data stays)
	rm -rf $(VENV) $(BENCH_VENV) dbt_project/target dbt_project/logs .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
