# Two commands do everything on a fresh machine with Python 3.11 or newer: make grow, make test.
PYTHON ?= python3
BUDGET ?= 10m
SCALE ?= pocket
LLM_PORT ?= 8077
VENV := .venv
BIN := $(VENV)/bin

.PHONY: grow test check format bench llm clean

grow: $(VENV)/.grow
	$(BIN)/palmette grow --budget $(BUDGET) --scale $(SCALE) --output grown

test: $(VENV)/.test
	scripts/check
	scripts/test

check: $(VENV)/.test
	scripts/check

format: $(VENV)/.test
	$(BIN)/ruff format palmette tests benchmarks scripts
	$(BIN)/ruff check --fix palmette tests benchmarks scripts

# Every ratio, about twenty minutes; ROWS="step decode" measures the rows whose names have such a part.
bench: $(VENV)/.test
	$(BIN)/python -m benchmarks.ratios $(if $(ROWS),--rows $(ROWS))

llm:
	scripts/llm $(PYTHON) $(LLM_PORT)

$(VENV)/.grow: pyproject.toml constraints.txt
	scripts/install $(PYTHON)

$(VENV)/.test: pyproject.toml constraints.txt
	scripts/install $(PYTHON) test

clean:
	rm -rf $(VENV) .venv-llm build dist *.egg-info
