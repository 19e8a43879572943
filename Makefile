# Relith: the commands. `make help` lists them; each is one line of what it does and what it leaves behind.
# Everything is installed into .venv the first time it is needed, and never again until its list in requirements/ changes.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help run test lint
help:  ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: .venv/run.stamp  ## the main job: a cell's life without and with reactivation -> build/run/report.html (ARGS=… for options)
	$(BIN)/relith-sim run $(ARGS)

test: .venv/test.stamp node_modules/.stamp  ## everything a change must pass; .ci/run calls it
	$(BIN)/ruff check --quiet
	$(BIN)/pytest -n 2 $(ARGS)

lint: .venv/test.stamp typings/.stamp  ## style and types; the firmware against the MicroPython stubs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy host_sim hil
	for port in rp2 stm32 esp32; do \
	  MYPYPATH=firmware:typings/$$port $(BIN)/mypy --config-file firmware/mypy.ini --custom-typeshed-dir typings/$$port \
	    --cache-dir .mypy_cache/$$port -p relith || exit 1; \
	done

# ---- installed once, by need -------------------------------------------------------------------------------------
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) must be Python 3.11 or newer; name one with make PYTHON=…" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/run.stamp: requirements/run.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/test.stamp: requirements/test.txt .venv/run.stamp
	$(BIN)/python -m pip install --quiet -r requirements/test.txt
	@touch $@

node_modules/.stamp: package-lock.json .venv/test.stamp
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

typings/.stamp: requirements/stubs.txt .venv/test.stamp
	rm -rf typings
	for port in rp2 stm32 esp32; do \
	  $(BIN)/python -m pip install --quiet --no-compile --target typings/$$port "$$(grep -- "-$$port-" requirements/stubs.txt)" || exit 1; \
	done
	@touch $@
