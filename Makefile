# Each of these sets up what it needs in .venv and then runs; `make help` lists them.
#
#   make test TORCH=torch==2.13.0   also against PyTorch (JAX=jax: against JAX); nothing else fetches either
#   make check ARGS="--norm group"  ARGS go to the command that is run
#   make tutorials FOLDER=~/norms   where your copy of the notebooks goes
#   make lab EXPERIMENT=groups      which of the paper's experiments: batch-size, groups, finetune, video
#   make bench PEERS="torch==2.13.0 jax onnxruntime onnx openvino"   beside all that is known
#   make test PYTHON=python3.13     the Python that .venv is made from: 3.11 or newer
#
# Kept to what GNU make 3.81 knows, which is the make of macOS.

PYTHON = python3
TORCH =
JAX =
PEERS =
ARGS =
FOLDER = gnref-tutorials
EXPERIMENT = batch-size
KERNEL_TESTS = tests/kernels/cpu/test_contract.py tests/kernels/cpu/test_small.py

VENV = .venv
BIN = $(VENV)/bin
# What the tutorials train is trained once, for the site and for the tests, until a line of it changes.
KEPT = GNREF_LAB='$(CURDIR)/build/lab'
WANTED = $(strip $(TORCH) $(JAX) $(PEERS))
FRAMEWORKS = $(foreach requirement,$(WANTED),'$(requirement)')

.PHONY: help check test tutorials lab bench frameworks lint figures notebooks explorer site clean FORCE
.NOTPARALLEL:

help:
	@echo "make check    property-test every norm, forward and backward (ARGS=... as of gnref check)"
	@echo "make test     run the tests (TORCH=torch==2.13.0, JAX=jax: with these; ARGS=... as of pytest)"
	@echo "make tutorials  open the tutorials in JupyterLab, on a copy that is yours (FOLDER=gnref-tutorials)"
	@echo "make lab      run one of the paper's experiments (EXPERIMENT=groups; ARGS=... as of gnref lab)"
	@echo "make bench    time the CPU kernels (PEERS=\"torch jax\": beside these; ARGS=... as of gnref bench)"
	@echo "make frameworks PEERS=\"torch==2.13.0 jax flax onnxruntime onnx openvino\"   write the page on how they fare"
	@echo "make lint     ruff and mypy"
	@echo "make figures  draw the README's figures"
	@echo "make notebooks  write tutorials/*.ipynb from their sources"
	@echo "make explorer   write the explorer's module from its sources (needs npm)"
	@echo "make site     build the site into build/site, tutorials executed (needs npm)"
	@echo "make clean    remove .venv, caches and build output"

check: $(VENV)/.testing
	@$(BIN)/gnref check $(ARGS)

# Compiled lines are invisible to coverage: the kernels' tests first run without the compiler.
test: $(VENV)/.dev
	@$(if $(findstring --no-cov,$(ARGS)),,NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -n auto -q -rN \
	  --cov --cov-report= --cov-fail-under=0 $(KERNEL_TESTS))
	@$(KEPT) $(BIN)/python -m pytest -n auto --cov --cov-append $(ARGS)

tutorials: $(VENV)/.tutorials
	@$(BIN)/gnref tutorials $(FOLDER) $(ARGS)

lab: $(VENV)/.lab
	@$(BIN)/gnref lab $(EXPERIMENT) $(ARGS)

bench: $(VENV)/.bench
	@$(BIN)/gnref bench $(ARGS)

frameworks: $(VENV)/.compared
	@$(BIN)/python tools/conformance_table.py

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

figures: $(VENV)/.dev
	@$(BIN)/python tools/make_figures.py

notebooks: $(VENV)/.dev
	@$(BIN)/python tools/build_notebooks.py

explorer: $(VENV)/.made
	@$(BIN)/python tools/build_explorer.py

site: $(VENV)/.docs
	@$(KEPT) $(BIN)/python tools/build_site.py $(ARGS)

clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find gnref tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The set-up. A stamp is written when all before it went well, so an interrupted step is done again.

$(VENV)/.testing: $(VENV)/.made pyproject.toml
	$(call install,gnref and what its check needs,-e '.[testing]')

$(VENV)/.tutorials: $(VENV)/.made pyproject.toml
	$(call install,gnref and what its tutorials need,-e '.[tutorials]')

$(VENV)/.lab: $(VENV)/.made pyproject.toml
	$(call install,gnref and what its experiments need,-e '.[lab]')

$(VENV)/.docs: $(VENV)/.made pyproject.toml
	$(call install,gnref and what its site needs,-e '.[docs]')

# One command for all: pip then takes exactly the releases that TORCH, JAX and PEERS name.
$(VENV)/.dev: $(VENV)/.made $(VENV)/.frameworks pyproject.toml
	$(call install,gnref and what its tests need$(if $(WANTED), with $(WANTED)),$(FRAMEWORKS) -e '.[dev]')

$(VENV)/.bench: $(VENV)/.made $(VENV)/.frameworks pyproject.toml
	$(call install,gnref and what its benchmark needs$(if $(WANTED), with $(WANTED)),$(FRAMEWORKS) -e '.[bench]')

$(VENV)/.compared: $(VENV)/.made $(VENV)/.frameworks pyproject.toml
	$(call install,gnref and what its check needs$(if $(WANTED), with $(WANTED)),$(FRAMEWORKS) -e '.[testing]')

# Changes when TORCH, JAX or PEERS ask for something new, not when they are left out: what is there stays.
$(VENV)/.frameworks: $(VENV)/.made FORCE
	@test -e $@ || : > $@
	@test -z "$(WANTED)" || test "$$(cat $@)" = "$(WANTED)" || echo "$(WANTED)" > $@

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null 2>&1 || \
	  { echo "gnref needs Python 3.11 or newer, and $(PYTHON) was not found: install it, or add PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gnref needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1): add PYTHON=..." >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# Install $(2), announced as $(1): one dot for every package; what pip has to warn of is shown.
define install
@rm -f $@
@echo "Installing $(strip $(1)) into $(VENV)"
@{ $(BIN)/python -m pip install --disable-pip-version-check $(2) && touch $@; } | \
  while read -r line; do case "$$line" in Collecting*) printf . ;; esac; done; echo; test -e $@
endef
