# `make` lists the targets. Everything Python lands in .venv/, in the versions that constraints.txt pins.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints.txt
TORCH ?= 2.13.0
IMAGE ?= gradwire:latest
# The command that shows a package to be there, and the package. In the tests, Node and Java run the README's examples and
# the clients that are generated from the OpenAPI document, and evaluations are stored in PostgreSQL. Debian keeps that one's
# own commands off the path; pg_ctlcluster comes with it.
SYSTEM_PACKAGES := chromium=chromium wrk=wrk curl=curl openssl=openssl node=nodejs tsc=node-typescript javac=default-jdk-headless pg_ctlcluster=postgresql

# The second holds for the build backend: older pips read the first there too.
export PIP_CONSTRAINT := $(CONSTRAINTS)
export PIP_BUILD_CONSTRAINT := $(CONSTRAINTS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# Python compiles what it imports at the first start. To compile all packages here instead took 19 s longer and saved 1.5 s
# there (2 cores, wheels at hand: 18 s from `make run` to the first answer, 36 s otherwise).
PIP_INSTALL = $(BIN)/python -m pip install --no-compile

.PHONY: help
help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'

.PHONY: system
system: ## Install the Debian packages that the tests and benchmarks use (skips what is there)
	@missing=; for pair in $(SYSTEM_PACKAGES); do \
	  command -v $${pair%%=*} >/dev/null || missing="$$missing $${pair#*=}"; \
	done; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
	[ -n "$$missing" ] || exit 0; \
	command -v apt-get >/dev/null || { echo "No apt-get here: install$$missing by your system's means." >&2; exit 1; }; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=$$(command -v sudo) || { echo "Run as root: make system (needs$$missing)" >&2; exit 1; }; \
	echo "installing$$missing"; \
	$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $$missing </dev/null

.PHONY: install
install: $(VENV)/.installed ## Make .venv/ with the command .venv/bin/gradwire

.PHONY: install-dev
install-dev: $(VENV)/.installed-dev ## The same, with the tools for tests and checks

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(PIP_INSTALL) -e '.[dev]'
	@touch $(VENV)/.installed $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Gradwire needs Python 3.11 or later: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'This Python cannot make virtual environments. On Debian: make system, or apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
# Older ones, as Python 3.11 brings one, take nearly twice as long for what follows (58 s against 105 s, with all for tests).
	@env -u PIP_CONSTRAINT $(BIN)/python -m pip install -q 'pip>=25.1' || echo 'pip stays as it is' >&2

.PHONY: run
run: install ## Serve on 127.0.0.1:8000
	$(BIN)/gradwire serve

.PHONY: test
test: install-dev ## Run the tests; PYTEST="-k name" narrows them
# One process more than there are processors: many tests wait for servers, and for time limits to pass.
# Some shells forbid Python to keep what it compiles: then every one of the many processes here would compile all anew.
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --numprocesses=$$(($$(nproc) + 1)) --maxprocesses=4 --dist=loadfile --no-loadscope-reorder $(PYTEST)

.PHONY: check
check: install-dev ## Lint, check formatting, types and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: install-dev ## Format, and fix what can be fixed by rule
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: install ## Measure against naive services, a bare echo and peers; BENCH="--help" tells more
	$(BIN)/python -m benchmarks.http $(BENCH)

.PHONY: audit
audit: ## Look for known vulnerabilities in what constraints.txt pins (asks the network)
	@set -e; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	$(PYTHON) -m venv "$$work/venv"; \
	env -u PIP_CONSTRAINT -u PIP_BUILD_CONSTRAINT "$$work/venv/bin/python" -m pip install -q pip-audit; \
	"$$work/venv/bin/pip-audit" --strict --disable-pip --no-deps -r $(CONSTRAINTS)

.PHONY: lock
lock: ## Renew constraints.txt with Python 3.11; TORCH=2.14.0 moves torch
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo 'Lock with Python 3.11' >&2; exit 1; }
	@set -e; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	$(PYTHON) -m venv "$$work/venv"; \
	env -u PIP_CONSTRAINT -u PIP_BUILD_CONSTRAINT \
	  "$$work/venv/bin/python" -m pip install -q --dry-run \
	  --report "$$work/report.json" 'torch==$(TORCH)' 'hatchling>=1.27' editables -e '.[dev]'; \
	sed -n '/^#/p' $(CONSTRAINTS) >"$$work/lock"; \
	$(PYTHON) -c 'import json, sys; \
	found = [i["metadata"] for i in json.load(open(sys.argv[1]))["install"]]; \
	pins = {f["name"].lower().replace("_", "-"): f["version"].split("+")[0] for f in found}; \
	print(*(f"{n}=={v}" for n, v in sorted(pins.items()) if n not in ("gradwire", "triton") and not n.startswith(("nvidia-", "cuda-"))), sep="\n")' \
	  "$$work/report.json" >>"$$work/lock"; \
	cat "$$work/lock" >$(CONSTRAINTS)

.PHONY: image
image: ## Build the container image; IMAGE names it
	docker build -t $(IMAGE) $(IMAGE_ARGS) .

# Apart from `clean`: these are gigabytes to fetch anew.
.PHONY: clean-peers
clean-peers: ## Remove .benchmarks/, the environments of the benchmarks' peers
	rm -rf .benchmarks

.PHONY: clean
clean: ## Remove .venv/, caches and build outputs
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
