# Everything a machine with Python 3.11 needs to run, test and check this project.
# `make` alone lists the targets; `make PYTHON=python3.12 run` picks another interpreter.

PYTHON ?= python3
UV ?= uv
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Without its extras in the lock (`coverage[toml]`), pip 23.2 (of Python 3.11) takes the newest release instead of the pinned
# one, and refuses it for its hash, as soon as there is a newer one.
LOCK := $(UV) pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-strip-extras --universal \
	--python-version 3.11 --custom-compile-command 'make lock'

# Stamps: the second `make run` starts at once, and installs again only when a lock has changed.
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
BENCH := $(VENV)/.bench-installed
LANGGRAPH := benchmarks/peers/langgraph_dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test coverage fuzz model faults check format bench bench-quick gate lock clean python

help: ## List these targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

run: $(RUNTIME) ## Start everything on http://127.0.0.1:8008 with demo data; Ctrl-C stops it
	@exec $(BIN)/orchestrator dev $(ARGS)

# Half as many processes again as there are cores: most tests wait for servers more than they compute.
test: $(DEV) ## Run the whole test suite (ARGS="tests/contract -x" narrows it)
	@$(BIN)/python -m pytest -q -n "$$($(BIN)/python -c 'import os; print((os.cpu_count() or 1) * 3 // 2)')" --dist loadfile $(ARGS)

coverage: $(DEV) ## Run the suite and show which lines it never reached, server processes included
	@$(BIN)/python -m pytest -q --cov --cov-report=term $(ARGS)

fuzz: $(DEV) ## Try routes, odd JSON of agents and of clients with many more examples than the suite (FUZZ_EXAMPLES=1000)
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100} $(BIN)/python -m pytest -q tests/security/test_description_fuzz.py \
		tests/contract/test_odd_requests.py tests/delivery/test_odd_callbacks.py $(ARGS)

model: $(DEV) ## Try many more histories of tasks than the suite against a model of their life (MODEL_EXAMPLES=1000)
	@MODEL_EXAMPLES=$${MODEL_EXAMPLES:-300} $(BIN)/python -m pytest -q tests/broker/test_life_model.py $(ARGS)

faults: $(DEV) ## Kill, freeze and break everything under load for five minutes, and prove that nothing was lost
	@$(BIN)/python -m tests.faults $(ARGS)

check: $(DEV) ## Lint, formatting and strict types, of the source, the tests and the benchmarks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(DEV) ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(BENCH) ## Measure the service and its peers under one load, some 17 minutes (ARGS=--help lists other measures)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(BENCH) ## The same with a smaller load, in less than three minutes; writes to build/benchmarks/
	@$(BIN)/python -m benchmarks compare --quick $(ARGS)

gate: $(DEV) ## Whether an event or a round trip has become much dearer than bare uvicorn's, half a minute
	@$(BIN)/python -m benchmarks.gate

lock: ## Renew the lock files (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 2; }
	$(LOCK) pyproject.toml --extra editable --extra openai -o requirements.lock
	$(LOCK) pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock
	$(LOCK) --group bench -c requirements-dev.lock -o requirements-bench.lock
	$(LOCK) $(LANGGRAPH)/requirements.in -o $(LANGGRAPH)/requirements.lock

clean: ## Remove the environment and the caches (./data stays)
	rm -rf $(VENV) .peers .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov build dist
	rm -rf examples/node/node_modules
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@$(BIN)/python -c '' 2>/dev/null || \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 run" >&2; exit 2; }

# A half-made environment (an interrupted first run, an interpreter that is gone) is made anew.
define venv
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
endef

$(RUNTIME): requirements.lock pyproject.toml | python
	@echo "Preparing .venv: installing the locked packages (about a minute, once) ..."
	$(venv)
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): requirements-dev.lock requirements.lock pyproject.toml | python
	@echo "Preparing .venv: installing the locked packages with test tools (about two minutes, once) ..."
	$(venv)
	@$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $(RUNTIME) $@

$(BENCH): requirements-bench.lock $(DEV)
	@$(PIP) install --quiet --require-hashes -r requirements-bench.lock
	@touch $@
