# Relith: the commands. `make help` lists them; each is one line of what it does and what it leaves behind.
# Everything is installed into .venv the first time it is needed, and never again until its list in requirements/ changes.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
FLASH := $(strip $(if $(PORT),--port $(PORT)) $(if $(PROFILE),--profile $(PROFILE)) $(if $(BOARD),--board $(BOARD)) \
  $(if $(CELL),--cell $(CELL)) $(if $(UF2),--uf2 $(UF2)))
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help run test lint bench hil flash reproduce sensitivity faults mutants coverage docs
help:  ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: .venv/run.stamp  ## the main job: a cell's life without and with reactivation -> build/run/report.html (ARGS=… for options)
	$(BIN)/relith-sim run $(ARGS)

test: .venv/test.stamp node_modules/.stamp  ## everything a change must pass; .ci/run calls it
	$(BIN)/pytest -n 2 $(ARGS)
	$(BIN)/ruff check --quiet

lint: .venv/test.stamp typings/.stamp  ## style and types; the firmware against the MicroPython stubs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy host_sim hil
	for board in rp2/pico2 rp2/rig_pico stm32/pyboard esp32/esp32; do port=$${board%/*}; \
	  MYPYPATH=firmware:typings/$$port $(BIN)/mypy --config-file firmware/mypy.ini --custom-typeshed-dir typings/$$port \
	    --cache-dir .mypy_cache/$$port -p relith -p drivers -m boards.$${board#*/} || exit 1; \
	done

bench: .venv/bench.stamp node_modules/.stamp  ## speed, memory and accuracy beside the peers -> build/bench.json (SECTION=cell for one)
	$(BIN)/relith-sim bench $(SECTION)

hil: .venv/test.stamp node_modules/.stamp  ## scenarios on the virtual rig, or RIG=file.toml -> build/hil/junit.xml, report.html
	$(BIN)/relith-hil run $(if $(RIG),--rig $(RIG)) $(ARGS)

flash: .venv/test.stamp node_modules/.stamp  ## firmware and a profile onto a board and proof that it runs (PORT=… PROFILE=… BOARD=… CELL=another)
	$(BIN)/python -m hil.flash $(FLASH)

reproduce: .venv/test.stamp  ## the published experiments on the simulated cell -> build/reproduction.csv
	$(BIN)/relith-sim reproduce $(ARGS)

sensitivity: .venv/test.stamp  ## every assumed parameter of the cell over its range: what it moves
	$(BIN)/relith-sim sensitivity $(ARGS)

faults: .venv/test.stamp  ## every part, every way to fail, every state; a thousand healthy cycles -> build/faults.csv, faults.png
	$(BIN)/relith-sim faults $(ARGS)

mutants: .venv/test.stamp  ## mutation testing of the safety rooms; long, goes on where it stopped -> build/mutants.json
	$(BIN)/relith-sim mutants $(ARGS)

coverage: .venv/test.stamp  ## lines and branches of the firmware's logic that no test reaches; there is none
	$(BIN)/pytest tests/firmware tests/system/test_exceptions.py --cov=firmware/relith --cov-branch \
	  --cov-report=term-missing:skip-covered --cov-fail-under=100 $(ARGS)

docs: .venv/test.stamp  ## the generated pages under docs/, and the pictures
	$(BIN)/python -m host_sim.statechart
	$(BIN)/python -m host_sim.profile_page
	$(BIN)/python -m host_sim.safety_page
	$(BIN)/python -m hil.messages
	$(BIN)/python -m hil.candbc
	$(BIN)/python -m hil.pictures docs/monitor.png
	$(BIN)/relith-sim run --picture docs/run.png
	$(BIN)/python -m host_sim.scheduler_page

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

.venv/bench.stamp: requirements/bench.txt .venv/test.stamp
	$(BIN)/python -m pip install --quiet -r requirements/bench.txt
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
