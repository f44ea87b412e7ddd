# make run    set everything up and serve on http://127.0.0.1:8000
# make test   set everything up and run the tests
# make check  format, lint, types, container files
# make docs   the documentation as a site, in site/
# Needs Python 3.11 and make; everything else goes into .venv.

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# Of the tests: they wait for one another's processes as much as they compute, and what waits for
# its own threads leaves the CPU to the others soon (GOMP_SPINCOUNT: a quarter less CPU each).
TEST_PROCESSES ?= 4

.PHONY: run test test-long check format docs clean

run: $(VENV)/run.stamp
	@$(BIN)/synthorax serve

# Hundreds of processes are started: each would compile the project anew.
test test-long: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/dev.stamp
	@[ -d tests/__pycache__ ] || $(BIN)/python -m pytest --collect-only --quiet >/dev/null  # compiled once, not by each process
	OMP_NUM_THREADS=1 GOMP_SPINCOUNT=1000 $(BIN)/python -m pytest -m "not long and not alone" -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m "alone and not long" $$(grep -rl 'pytest.mark.alone' --include='test_*.py' tests)

test-long: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m long

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive app library worker training evaluation features studies synthorax tools
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml docker-compose.cpu.yml
	$(BIN)/compose-lint --fail-on medium docker-compose.yml
	$(BIN)/kubernetes-validate --quiet --strict deploy/kubernetes/*.yaml

docs: $(VENV)/dev.stamp
	$(BIN)/python -m tools.reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# A stamp is made only after pip has ended well, so an interrupted set-up is done again.
$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Synthorax needs $(PYTHON); set PYTHON=… to another name of Python 3.11." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[local]'
	@touch $@

# For the tests, Python compiles what is imported when it is imported: pip would compile all of it, on one core.
$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/run.stamp

clean:
	rm -rf $(VENV) site .mypy_cache .pytest_cache .ruff_cache .hypothesis
