# Two commands are enough: `make demo` and `make test`. Each target sets up what it needs in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: setup demo test check audit controls calibrate bench size docs site clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "synth needs Python 3.11 or newer; run: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The main job on the bundled real table: fit, sample, evaluate, gate, export, verify.
demo: $(INSTALLED)
	$(BIN)/synth demo --out reports/demo
	$(BIN)/synth verify reports/demo/export

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# How often the gate blocks fresh real rows, and whether intervals cover: 200 resplits of two tables, an hour and a half or two.
# An interrupted run goes on where it stopped; --judge judges the same figures under changed policies.
calibrate: $(INSTALLED)
	$(BIN)/python -m benchmarks.calibrate --out reports/benchmarks/calibration.md

# What an attacker can prove of every private mechanism, at full size, and whether planted faults are caught: an hour or more;
# resumed where it was broken off.
audit: $(INSTALLED)
	$(BIN)/python -m benchmarks.audits --out reports/benchmarks/audits.md

# Twenty seeds of every control of the gate; the tests run three.
controls: $(INSTALLED)
	$(BIN)/python -m benchmarks.controls --seeds 20 --out reports/benchmarks/controls.md

# Fidelity against memorisation: every generator on eight real tables, three seeds, half an hour or more; goes on where it stopped.
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.frontier

# Time and memory against rows and columns, and ten million rows written: an hour.
size: $(INSTALLED)
	$(BIN)/python -m benchmarks.size

# The pages under docs/ that are made from the code: the command line, the metrics, the policies.
docs: $(INSTALLED)
	$(BIN)/python -m docs.build

# The site, from docs/ and the committed results: site/index.html opens without a server.
site: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache reports/runs reports/demo reports/demo.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
