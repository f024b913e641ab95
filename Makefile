# Everything happens in .venv; nothing outside this folder is touched.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test test-all lint site clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "metarl needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch .venv/installed

demo: install
	$(BIN)/python -m benchmarks.demo

# A worker for each core, at most four: each takes 0.7 GB, and a thread.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

test: install
	$(PYTEST)

test-all: install
	$(PYTEST) -m ''

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a site, in build/site.
site: install
	$(BIN)/mkdocs build --strict --quiet --site-dir build/site

clean:
	rm -rf .venv build dist *.egg-info demo-output
