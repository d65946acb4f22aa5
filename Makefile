# Everything a developer types. Each target sets up what it needs by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test check check-web format docs web types screenshots bench serve clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("ConnectorDB needs Python 3.11 or newer: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[server]' --group dev
	@touch $@

demo: $(STAMP) ## Log this machine's measurements into a fresh database and read them back
	$(BIN)/python examples/demo.py

test: $(STAMP) check ## All checks and the whole test-suite
	$(BIN)/python -m pytest

web: $(STAMP) ## Build the web app (needs Node.js), which the server then serves
	$(BIN)/python web/build.py

types: $(STAMP) ## Write the types of the web app after a change of the API
	$(BIN)/python web/openapi.py
	$(BIN)/python web/build.py --install
	cd web && npm run --silent types

check-web: web ## The web app: types, lint, unit tests, size
	cd web && npm run --silent check && npm run --silent test && npm run --silent size

check: $(STAMP) check-web ## Format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(STAMP) ## Format the code, fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## Write the reference of PipeScript into docs/pipescript.md
	$(BIN)/python -m connectordb.pipescript.reference docs/pipescript.md

screenshots: web ## Take the pictures in docs/images (needs Chromium)
	$(BIN)/python tests/web/screenshots.py

bench: $(STAMP) ## Measure against floors and other databases (BENCH="--tiny" for a quick look)
	$(BIN)/python -m bench $(BENCH)

serve: $(STAMP) ## Run a server on ./devdb (created on first use: user test, password test)
	-@$(BIN)/python web/build.py
	@test -e devdb || $(BIN)/connectordb create devdb --test
	$(BIN)/connectordb run devdb

clean: ## Remove what the other targets made
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist web/node_modules src/connectordb/server/webapp
