# Everything a person types. Each target makes the environment it needs; nothing unpinned is fetched.
#   make demo      watch sfsync do its job with real parts, with nothing configured
#   make test      the whole suite: house rules, lint, types, unit, vectors, contract, simulation, e2e
#   make venv      the environment alone

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp
SEEDS  ?= 200
PROCESSES ?= 2
ARGS   ?=
AUDITOR := pip-audit==2.10.1

.DEFAULT_GOAL := help
.PHONY: help venv demo test house lint audit bench bench-localorg bench-fleet simulate chaos lock generate migration wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

venv: $(STAMP) ## make the environment in .venv from the lock file

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "sfsync needs Python 3.11 or newer; name one with: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "python3 cannot make environments here; on Debian: apt-get install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: venv ## the whole line with real parts (ARGS="--cases FILE.csv --keep")
	$(BIN)/sfsync demo $(ARGS)

# A file stays in one process: what its tests share (a store, a deployed org) is made once. The slow ones come first.
test: venv ## the whole suite (ARGS="-k WORD", PROCESSES=0 for one process)
	$(BIN)/python -m pytest -m "not bench" -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

house: venv ## the house rules alone
	$(BIN)/python -m pytest tests/house $(ARGS)

lint: venv ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

# Asks the network, so it is no part of the suite (docs/decisions/0014). A place of its own: what checks is not checked.
audit: ## ask which pinned packages have a known vulnerability (needs the network)
	@test -x .audit/bin/pip-audit || { $(PYTHON) -m venv .audit && .audit/bin/pip install --quiet $(AUDITOR); } \
	  || { rm -rf .audit; echo "NOT LOOKED UP: $(AUDITOR) cannot be installed here; nothing is known of any package" >&2; exit 3; }
	.audit/bin/python .ci/audit.py requirements.lock $(ARGS)

bench: venv ## measure the line and the store
	$(BIN)/python -m pytest -m bench -s tests/bench $(ARGS)

bench-localorg: venv ## measure the local org
	$(BIN)/python -m pytest -m bench -s tests/bench -k localorg $(ARGS)

bench-fleet: venv ## measure many orgs at once
	$(BIN)/python -m pytest -m bench -s tests/bench -k fleet $(ARGS)

simulate: venv ## seeded faults on the whole line (SEEDS=200, or SEEDS=17..17 to replay one)
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

chaos: venv ## kill real processes, round after round (SEEDS=200, or SEEDS=17..17 to replay one)
	$(BIN)/python -m tests.chaos --seeds $(SEEDS) $(ARGS)

generate: venv ## write every generated file again
	$(BIN)/sfsync metadata generate
	$(BIN)/sfsync localorg coverage --into docs/localorg.md

migration: venv ## write the next step of the schema (MESSAGE="what changes"), then read it
	$(BIN)/python -m sfsync.store.migrations $(MESSAGE)
	$(BIN)/ruff format sfsync/store/migrations/versions

# Hashes and no index host: the lock is true wherever the packages come from. pip-compile's comments name paths, so they go.
lock: venv ## resolve and pin again (ARGS=--upgrade)
	$(BIN)/python -m piptools compile --quiet --all-extras --allow-unsafe --generate-hashes --strip-extras \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --no-annotate \
	  $(ARGS) --output-file requirements.lock pyproject.toml
	@{ echo '# Every package of sfsync, its extras and its tools, pinned with hashes. Written by `make lock`; do not edit.'; \
	   sed -e '/^ *#/d' -e '/^$$/d' requirements.lock; } > requirements.lock.new && mv requirements.lock.new requirements.lock

wheel: venv ## build the wheel into dist
	$(BIN)/python -m build --wheel --no-isolation

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) .audit .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
