# Everything a newcomer needs: `make demo` and `make test`. Each sets itself up and is quick when nothing changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A file is the work of one process, and tests/conftest.py says which files begin.
SUITE = $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Numerical libraries must not fight for two cores with the worker processes.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test coverage types suite install docs bench lint clean

demo: $(VENV)/.package  ## plant faults in a synthetic IMERG, find them, see rain in infrared and in latents: demo/report.html
	$(BIN)/ondee demo --out demo --keep --force

test: $(STAMP)  ## lint, types, layers, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	# Types keep one core busy and leave the other idle: tests fill it.
	$(MAKE) --no-print-directory -j 2 types suite

coverage: $(STAMP)  ## the tests, and what they run through
	$(SUITE) --cov --cov-report=term

types: $(STAMP)
	$(BIN)/mypy
	$(BIN)/lint-imports

suite: $(STAMP)
	$(SUITE)

install: $(STAMP)  ## the package with all that its developers need

$(VENV)/.package: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[retrieval]"
	touch $@

$(STAMP): $(VENV)/.package
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	# Compiled from source: where there is no compiler, the tests that compare with it are skipped.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pysteps || echo "pysteps was not installed"
	touch $@

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

docs: $(VENV)/.docs  ## the documentation, in docs/_build/html
	$(BIN)/sphinx-build -aE -W --keep-going -q -b html docs docs/_build/html

$(VENV)/.bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	touch $@

bench: $(VENV)/.bench  ## speed beside the rivals, into benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

lint: $(STAMP)  ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
