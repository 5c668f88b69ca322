# The two commands of the README are `make demo` and `make test`; each installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# Tests without a cluster of their own share the cores, a file in one process.
JOBS ?= 2
PARALLEL := --numprocesses $(JOBS) --dist loadfile
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check unit contract integration faults bench chaos serve clean

demo: $(VENV)/.demo
	$(BIN)/lth demo --out demo

serve: $(VENV)/.demo
	$(BIN)/lth up

test: check unit contract integration faults
	@echo "all tests passed"

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	$(PYTEST) $(PARALLEL) tests/unit tests/docs

contract: $(VENV)/.dev
	$(PYTEST) $(PARALLEL) tests/contract

integration: $(VENV)/.dev
	$(PYTEST) tests/integration

faults: $(VENV)/.dev
	$(PYTEST) tests/faults

# Ratios to other frameworks: OPEN_LTH=checkout takes the paper authors' one along, LTH_TEST_DATA=folder real MNIST.
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.run $(if $(OPEN_LTH),--open-lth $(OPEN_LTH))

# Every kill again and again, each round in a fresh service; ROUNDS=n bounds it.
ROUNDS ?= 3
chaos: $(VENV)/.dev
	for round in $$(seq $(ROUNDS)); do \
	    $(PYTEST) -m "chaos or not chaos" tests/faults tests/integration/workers || exit 1; \
	done

# A stamp names what was installed last, so that a second run starts at once; changed kernels are compiled again.
NATIVE := setup.py $(wildcard lth_core/native/source/*)
$(VENV)/.demo: pyproject.toml constraints.txt $(NATIVE) | $(VENV)/bin/python
	$(INSTALL) -e ".[worker,plot]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(NATIVE) | $(VENV)/bin/python
	$(INSTALL) -e ".[worker,plot,dev]"
	@touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist *.egg-info
