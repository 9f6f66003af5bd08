# Each target sets up what it needs in .venv; the first one takes a few minutes.
#   make test PYTHON=python3.12          another interpreter (run `make distclean` in between)
#   make test PYTEST_ARGS="tests/pl -x"  a part of the tests
#   make bench BENCH_ARGS="--only vae"   a part of the figures of speed

PYTHON ?= python3.11
PYTEST_ARGS ?=
BENCH_ARGS ?=
# pyenv's python3.13 works only where its version is asked for; without pyenv this changes nothing.
NEXT_PYTHON ?= env PYENV_VERSION=3.13 python3.13

VENV := .venv
BIN := $(VENV)/bin
NEXT_VENV := .venv-next
RELEASE_VENV := .venv-release
# What needs no torch, and how many of these tests have to pass: fewer is a mistake of the lane.
NEXT_LEAST := 1400
NEXT_TESTS := tests/cli tests/datasets tests/get tests/pl tests/pp \
	tests/test_arguments.py tests/test_calibration_error.py tests/test_documentation.py \
	tests/test_import.py tests/test_lanes.py tests/test_readme.py tests/test_settings.py \
	tests/test_validate.py tests/tl/test_age_acceleration.py tests/tl/test_age_folds.py \
	tests/tl/test_age_metrics.py tests/tl/test_group_effect.py
export MPLBACKEND := Agg
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
# Two targets must not install into the one environment at the same time.
.NOTPARALLEL:
.PHONY: help demo test test-next lint docs gallery bench release-check clean distclean

help:
	@echo "make demo     run the methods on simulated data, draw the figures (demo/)"
	@echo "make test     run the tests"
	@echo "make test-next"
	@echo "              run those that need no torch on Python 3.13 with newer libraries"
	@echo "make lint     ruff and mypy"
	@echo "make docs     build the documentation (docs/_build/html)"
	@echo "make gallery  draw the figures of the documentation (docs/_static/gallery)"
	@echo "make bench    measure speed and memory side by side, print the table (benchmarks/results)"
	@echo "make release-check"
	@echo "              build the distributions, run the demo with the wheel in an empty environment"
	@echo "make clean    remove what these wrote; 'make distclean' removes the environments as well"

demo: $(VENV)/.stamp-base
	@$(BIN)/python demo/run.py

test: $(VENV)/.stamp-test
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-next: $(NEXT_VENV)/.stamp
	@$(NEXT_VENV)/bin/python -m pytest $(or $(PYTEST_ARGS),--at-least=$(NEXT_LEAST) $(NEXT_TESTS))

lint: $(VENV)/.stamp-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy src

docs: $(VENV)/.stamp-doc
	@rm -rf docs/generated
	@$(BIN)/python -m sphinx -q -W --keep-going -n -b html docs docs/_build/html
	@echo "The documentation is in docs/_build/html/index.html"

gallery: $(VENV)/.stamp-base
	@OMP_NUM_THREADS=1 $(BIN)/python docs/draw_gallery.py

bench: $(VENV)/.stamp-test
	@$(BIN)/python benchmarks/speed.py $(BENCH_ARGS)

# The demo runs far from the checkout, so that it is the wheel that is imported.
release-check: $(VENV)/.stamp-dev
	@rm -rf dist
	@$(BIN)/python -m build
	@$(BIN)/python -m twine check --strict dist/*
	@echo "Installing the wheel into $(RELEASE_VENV), as pinned in constraints.txt"
	@$(PYTHON) -m venv --clear $(RELEASE_VENV)
	@$(RELEASE_VENV)/bin/python -m pip install -qq -c constraints.txt dist/*.whl
	@bin=$$PWD/$(RELEASE_VENV)/bin; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
		set -e; unset PYTHONPATH; cp demo/run.py "$$folder"; cd "$$folder"; \
		"$$bin/sctools" --version; "$$bin/sctools" --help > /dev/null; \
		"$$bin/python" -c "import sctools; print(sctools.__file__)" | grep site-packages; \
		"$$bin/python" run.py

clean:
	@rm -rf docs/_build docs/generated docs/inv build dist demo/*.png demo/*.h5ad
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	@find src tests docs demo -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	@rm -rf $(VENV) $(NEXT_VENV) $(RELEASE_VENV)

$(VENV)/.stamp-venv:
	@command -v $(PYTHON) > /dev/null || \
		{ echo "$(PYTHON) was not found: install it, or name another with PYTHON=..." >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# A stamp per set of packages: the demo does not wait for those of the documentation.
$(VENV)/.stamp-base: EXTRA :=
$(VENV)/.stamp-test: EXTRA := [test]
$(VENV)/.stamp-dev: EXTRA := [dev]
$(VENV)/.stamp-doc: EXTRA := [doc]
$(VENV)/.stamp-base $(VENV)/.stamp-test $(VENV)/.stamp-dev $(VENV)/.stamp-doc: \
		$(VENV)/.stamp-venv pyproject.toml constraints.txt
	@echo "Installing .$(EXTRA) into $(VENV), as pinned in constraints.txt"
	@$(BIN)/python -m pip install -qq -c constraints.txt -e ".$(EXTRA)"
	@touch $@

# Without what needs torch, whose pins are those of the other environment.
$(NEXT_VENV)/.stamp: pyproject.toml constraints-next.txt
	@$(NEXT_PYTHON) --version > /dev/null || \
		{ echo "Python 3.13 was not found: install it, or name another with NEXT_PYTHON=..." >&2; \
		exit 1; }
	@echo "Making $(NEXT_VENV) with $$($(NEXT_PYTHON) --version), as pinned in constraints-next.txt"
	@$(NEXT_PYTHON) -m venv --clear $(NEXT_VENV)
	@$(NEXT_VENV)/bin/python -m pip install -qq -r constraints-next.txt
	@$(NEXT_VENV)/bin/python -m pip install -qq --no-deps -e .
	@touch $@
