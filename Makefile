.DEFAULT_GOAL := help
PYTHON ?= python3
UV := .tools/uv/bin/uv
BIN := .venv/bin
READY := .venv/.ready
PACKAGES := contracts chassis views models gateway planner executor ingestion memory cli ops replay local
# Redis comes ready-made for these only; where neither is installed uv fetches one into its own folder.
export UV_PYTHON ?= >=3.11,<3.13
# Tests mostly wait: for a session to expire, a process to start, a broker to come back.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile
ALONE := $(UV) run --quiet --isolated --frozen --no-dev --all-extras

##@ Running
.PHONY: run stop reset
run: $(READY)  ## Bring up Kafka, Postgres, Redis, S3 and the five services; Ctrl-C stops them
	@$(BIN)/python -m clew.local run
stop: $(READY)  ## Stop a running stack from another terminal
	@$(BIN)/python -m clew.local stop
reset: $(READY)  ## Remove all data of the local stack (it must not be running)
	@$(BIN)/python -m clew.local reset

##@ Testing
.PHONY: test test-fast images chaos-short chaos mutants
.PHONY: bench bench-projection bench-history bench-growth bench-replay bench-peers
test: $(READY)  ## All tests, on real parts that they start themselves
	$(BIN)/pytest $(SIDE_BY_SIDE)
test-fast: $(READY)  ## The tests that need no servers
	$(BIN)/pytest -m "not stack and not images" $(SIDE_BY_SIDE)
images: $(READY)  ## Install each service as its image does, in a folder of its own
	$(BIN)/pytest -m images
chaos-short: $(READY)  ## One short trial of chaos, as a test
	$(BIN)/pytest -m chaos -s
chaos: $(READY)  ## Kill, freeze and restart everything for MINUTES (5), as SEED says, and check that nothing is lost
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))
mutants: $(READY)  ## Break each mechanism of durable runs in turn (or MUTANT), and check that chaos notices
	$(BIN)/python -m tests.chaos --mutant $(or $(MUTANT),all) $(if $(SEED),--seed $(SEED))
bench: $(READY)  ## Measure the latency of the whole path, and what durable runs cost
	$(BIN)/python -m benchmarks.latency
	$(BIN)/python -m benchmarks.durable
bench-peers: $(READY)  ## Measure the same durable runs on DBOS, beside ours; installs it for this alone
	UV_PROJECT_ENVIRONMENT=.tools/peers $(UV) run --quiet --frozen --group peers python -m benchmarks.durable fan steps --peers
bench-replay: $(READY)  ## Measure how fast recorded runs are replayed, beside bare pydantic-ai, and as a suite
	$(BIN)/python -m benchmarks.replay
bench-projection: $(READY)  ## Measure how fast memory projects, beside what COPY alone does
	$(BIN)/python -m benchmarks.projection
bench-history: $(READY)  ## Measure a page of a long thread's history, with the cache and without
	$(BIN)/python -m benchmarks.history
bench-growth: $(READY)  ## Measure what one more step costs in a thread that is long already
	$(BIN)/python -m benchmarks.growth

##@ Checking
.PHONY: check lint types layers spelling generated imports k8s
check: lint types layers spelling generated imports k8s  ## Everything that can be wrong without running it
lint: $(READY)  ## Style and format
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/hadolint Dockerfile
types: $(READY)  ## Types, strictly
	$(BIN)/pyright
layers: $(READY)  ## Who may import whom
	$(BIN)/lint-imports --no-logo
spelling: $(READY)  ## Spelling
	$(BIN)/codespell
generated: $(READY)  ## Generated files are up to date
	$(BIN)/python -m clew.contracts.generate --check && $(BIN)/python -m clew.contracts.compatibility
	$(BIN)/python -m deploy.manifests.generate --check && $(BIN)/python -m docs.reference.generate --check
imports: $(READY)  ## Each package declares what it imports
	@set -e; for name in $(PACKAGES); do $(ALONE) --package clew-$$name python tests/support/import_all.py clew.$$name; done
k8s: $(READY)  ## Kubernetes manifests: rendered, against their schemas and our own rules
	$(BIN)/python -m deploy.manifests

##@ Writing
.PHONY: help fmt lock
fmt: $(READY)  ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix && $(BIN)/ruff format
lock: $(READY)  ## Resolve the dependencies anew: Python packages and Java archives
	$(UV) lock && $(BIN)/python -m clew.local.jars
help:  ## Show this
	@awk -f .ci/help.awk $(MAKEFILE_LIST)

# Bootstrapping: uv into .tools by the Python at hand, then everything else into .venv by uv.
$(UV):
	@echo "Installing uv into .tools"
	@$(PYTHON) -m venv .tools/uv && .tools/uv/bin/pip install --quiet --disable-pip-version-check "uv>=0.13,<0.14"
$(READY): $(UV) uv.lock pyproject.toml $(wildcard */pyproject.toml services/*/pyproject.toml deploy/local/pyproject.toml)
	@$(UV) sync --frozen && touch $@
