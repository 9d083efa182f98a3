# Everything a newcomer or a developer runs. `make demo` and `make test` work on a fresh Debian or Ubuntu machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
# how many processes the tests use; tests are single-threaded
JOBS ?= 2

.PHONY: demo docs test test-all ecosystems check lint format bench bench-check bench-latency quality clean system-packages

demo: $(STAMP)
	$(BIN)/python -m examples.demo

# tests, with what they need beyond Python
test: $(DEV_STAMP) system-packages
	$(BIN)/python -m pytest -m "not sweep" -n $(JOBS)

test-all: $(DEV_STAMP) system-packages
	$(BIN)/python -m pytest -n $(JOBS)

# the user guide: build/site/index.html; a link that leads nowhere is an error
docs: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# generated folders built by PlatformIO and read by the IDF Component Manager: in an environment of their own
ecosystems: $(DEV_STAMP)
	test -d .venv-ecosystems || $(PYTHON) -m venv .venv-ecosystems
	.venv-ecosystems/bin/pip install --quiet --disable-pip-version-check platformio scons idf-component-manager pykwalify
	$(BIN)/python -m pytest tests/test_drop_in.py tests/test_drop_in_tools.py

# before each commit
check: lint
	$(BIN)/python -m pytest -m "not slow and not sweep" -n $(JOBS)

lint: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $$(find firmware -name '*.[ch]')
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $$(find firmware -name '*.[ch]')

bench: $(DEV_STAMP)
	$(BIN)/python -m bench

# what has changed since bench/results.json was written, to the instruction; nothing is written
bench-check: $(DEV_STAMP)
	$(BIN)/python -m bench --check

# plans judged on recordings they were not made from: bench/quality.json
quality: $(DEV_STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[quality]'
	$(BIN)/python -m bench.quality

# the latency estimate against published measurements: bench/latency.json and docs/latency.md
bench-latency: $(DEV_STAMP)
	$(BIN)/python -m bench.latency

# cross compiler and emulator: installed where the system's package manager may, named where it may not
system-packages:
	@sh tools/system-packages.sh

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "mcu-quant needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing: apt install python3-venv"; exit 1; }

$(STAMP): pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(DEV_STAMP): $(STAMP) pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
