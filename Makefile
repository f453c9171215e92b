# Every command a person or CI runs. `make` alone explains them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BENCH_VENV := .venv-bench
SUPERSET_VENV := .venv-superset
# dagster-dbt looks for `dbt` on PATH while its definitions load
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DAGSTER_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1

.PHONY: help setup demo superset test test-long test-traps test-mutants test-bi bench-extraction docs generated lint format ui lock clean bench-transform

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

superset: setup $(SUPERSET_VENV)/.ready ## dashboards on your marts, or on the demo's; prints address and login
	@b24 bi superset start
	@b24 bi superset provision

# Superset wants packages of its own, among them some without wheels for Python 3.13
SUPERSET_PYTHON ?= $(VENV)/bin/python
$(SUPERSET_VENV)/.ready: bi/superset/requirements.lock $(VENV)/.ready
	@$(SUPERSET_PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 13) else f"Superset needs Python 3.11 or 3.12, this is {v[0]}.{v[1]}: make SUPERSET_PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo "Installing Superset into $(SUPERSET_VENV) ..."
	@uv venv --quiet --clear --python $(SUPERSET_PYTHON) $(SUPERSET_VENV)
	@uv pip sync --quiet --require-hashes --python $(SUPERSET_VENV)/bin/python bi/superset/requirements.lock
	@touch $@

test: setup ## everything but the slow proofs
	pytest --numprocesses auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

test-long: setup $(SUPERSET_VENV)/.ready $(VENV)/.browser ## the slow proofs: many kills, many seeds, and those of test-bi
	pytest -m long -o timeout=3600

test-traps: setup ## each trap of the API with its defence on and off; prints the table
	pytest tests/traps --defences-off --quiet

test-mutants: setup ## about a hundred rules of the marts broken in the SQL one by one; prints which test minds
	pytest tests/mutants -m 'long or not long' --quiet

test-bi: setup $(SUPERSET_VENV)/.ready $(VENV)/.browser ## the dashboards in a browser, and fifty viewers while publishes go on
	pytest tests/dashboards -m long -o timeout=1800

$(VENV)/.browser: tests/dashboards/requirements.lock $(VENV)/.ready
	@test -x /usr/bin/chromium || (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium) || { echo "Install the package chromium: apt-get install chromium, as root."; exit 1; }
	@uv pip install --quiet --require-hashes --python $(VENV)/bin/python --requirements tests/dashboards/requirements.lock
	@touch $@

bench-extraction: setup $(BENCH_VENV)/.ready ## reading speed beside other clients, a quarter of an hour (ONLY=memory: 5 million deals)
	@python -m benchmarks.extraction $(addprefix --only ,$(ONLY))

bench-transform: setup ## what dbt costs at 100 thousand, one and three million deals (ONLY=100k: one size alone)
	@python -m benchmarks.transform $(addprefix --only ,$(ONLY))

# the other clients want packages of their own, so they get an environment of their own
$(BENCH_VENV)/.ready: benchmarks/requirements.lock $(VENV)/.ready
	@uv venv --quiet --clear --python $(VENV)/bin/python $(BENCH_VENV)
	@uv pip sync --quiet --require-hashes --python $(BENCH_VENV)/bin/python benchmarks/requirements.lock
	@touch $@

docs: setup ## the models, their columns and lineage on one page, site/index.html
	@python -m orchestration.docs_page

generated: setup ## rewrite what is made from the yml of the models: Superset's bundle, dbt's exposures, docs/metrics.md
	python -m bi.superset.build
	python -m bi.superset.exposures
	python -m bi.metrics

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
	$(LOCK) --group superset --output-file bi/superset/requirements.lock
	$(LOCK) --group browser --constraints requirements.lock --output-file tests/dashboards/requirements.lock

clean: ## remove the environment and everything generated (your warehouse in warehouse/data stays)
	rm -rf $(VENV) $(BENCH_VENV) $(SUPERSET_VENV) dbt_project/target dbt_project/logs .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info site
