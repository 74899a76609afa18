# Every target sets itself up: a virtual environment in .venv with the versions that CI tested.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Which of the longer proofs; CI leaves out those that take many minutes each.
SLOW := slow

# The sample market has its own folder, so that its results are never taken for another market's.
DEMO := BRAIN_MARKET=sample BRAIN_DATA_DIR=data/demo

.PHONY: help demo ui test check test-quick test-slow test-all docs bench cluster-demo clean

help:
	@echo "make demo      train and test 2019-2022 on real S&P 500 closes that come along, offline"
	@echo "make ui        open Dagster's UI on the demo's results"
	@echo "make test      ruff, mypy and the quick tests"
	@echo "make test-all  the same with the longer proofs"
	@echo "make docs      make the site of these pages, in build/docs"
	@echo "make bench     measure speed and memory"
	@echo "make cluster-demo  the same on two Ray nodes, Postgres and an S3 server of its own, compared to the bit"

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[cluster,dev,docs,live,report]"
	touch $(INSTALLED)

demo: $(INSTALLED)
	$(DEMO) $(BIN)/brain-assets backfill 2019-2022 --then lstm_model,patchtst_model --ui-command "make ui"

ui: $(INSTALLED)
	$(DEMO) $(BIN)/brain-assets ui

# Side by side: mypy fills the time in which tests wait.
test: $(INSTALLED)
	$(MAKE) --jobs 2 check test-quick

check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test-quick: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist loadfile

test-slow: $(INSTALLED)
	$(BIN)/pytest -n 2 -m "$(SLOW)"

test-all: test test-slow

docs: $(INSTALLED)
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs build/docs
	@echo "build/docs/index.html"

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

cluster-demo: $(INSTALLED)
	$(BIN)/python -m benchmarks.cluster

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
