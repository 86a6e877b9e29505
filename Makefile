# Commonweal. `make` or `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
# Each worker has servers of its own; much of a test run is waiting for one process or another.
TEST_WORKERS ?= 3
FAULT_WORKERS ?= 2
export SOAK_EVENTS SOAK_SEED SOAK_MINUTES

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: services-env
services-env:
	@deploy/venv.sh $(VENV) requirements/services.txt

.PHONY: dev-env
dev-env:
	@deploy/venv.sh $(VENV) requirements/dev.txt

.PHONY: demo
demo: services-env ## Play the main job, embedded; DEMO_ARGS="--help" shows what else it can do
	@$(BIN)/python -m examples.demo $(DEMO_ARGS)

.PHONY: test
test: dev-env ## Run every test, on a RabbitMQ and a PostgreSQL that it starts itself; TEST_ARGS go to pytest
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile $(TEST_ARGS)

.PHONY: test-unit
test-unit: dev-env ## Run the tests that need no server
	@$(BIN)/python -m pytest tests/unit $(TEST_ARGS)

.PHONY: test-faults
test-faults: dev-env ## Run every fault test and the long walks through the ledger, those too that take minutes
	@$(BIN)/python -m pytest tests/faults tests/integration/funding/test_model.py tests/integration/funding/test_killed.py -m "" -n $(FAULT_WORKERS) --dist loadfile $(TEST_ARGS)

.PHONY: bench
bench: dev-env ## Measure messaging, lists and the ledger on private servers, some fifteen minutes; BENCH_ARGS="--help" shows what else it can do
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

.PHONY: soak
soak: dev-env ## Kill services, broker and database under load for a long time; SOAK_EVENTS, SOAK_SEED, SOAK_MINUTES
	@$(BIN)/python -m tests.soak

.PHONY: lint
lint: dev-env ## Check style, types, the import rules, and the code for what attackers like
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive shared services client/src examples docs deploy

.PHONY: format
format: dev-env ## Put the code into its one format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: docs
docs: dev-env ## Write the generated documents of docs/ from the code and the recorded samples
	@$(BIN)/python -m docs.generate

.PHONY: lock
lock: ## Make the lock files anew from pyproject.toml; needs pip-tools
	@for set in services dev; do \
	    extra=$$([ $$set = dev ] && echo "--extra dev"); \
	    python3 -m piptools compile --quiet --upgrade --strip-extras --allow-unsafe --generate-hashes \
	        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --no-emit-options \
	        --all-build-deps $$extra --output-file requirements/$$set.txt pyproject.toml || exit 1; \
	done

.PHONY: clean
clean: ## Remove the private environment and every cache
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info client/src/*.egg-info
	@rm -rf tests/node/node_modules tests/node/.lock
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
