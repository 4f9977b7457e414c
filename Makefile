# Every command of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

LOCAL_DIR ?= $(CURDIR)/.local
PYTHON ?= python3
VENV := $(CURDIR)/.local/venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
MANIFEST := include/dbt/target/manifest.json
DATA_DIR ?=
SCALE ?= 1

export LOCAL_DIR
# One environment for every command below; `source .local/env.sh` gives a shell the same.
RUN := $(BIN)/python -m include.local

.PHONY: help setup demo up down check test lint format bench lock manifest clean chromium kafka

help:  ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | sort | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements.txt requirements-dev.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.txt requirements-dev.txt
	@touch $@

setup: $(VENV)/.installed manifest  ## Install everything that is pinned, under .local/ (quick the second time)

# Cosmos reads the dbt manifest, so it must exist before Airflow parses a DAG.
manifest: $(VENV)/.installed
	@$(RUN) manifest

demo: setup kafka  ## Run the whole product once and print a summary [DATA_DIR=path] [SCALE=n]
	@$(RUN) demo --scale $(SCALE) $(if $(DATA_DIR),--data-dir $(DATA_DIR))

up: setup kafka  ## Start the stack and keep it running: UI on http://localhost:8080 [FEEDS=live]
	@$(RUN) up $(if $(DATA_DIR),--data-dir $(DATA_DIR)) --scale $(SCALE)

down:  ## Stop what `make up` started
	@$(RUN) down

check: $(VENV)/.installed  ## Check the warehouse's connection and privileges
	@$(BIN)/python -W ignore -m include.warehouse.check

test: setup kafka chromium  ## Run all tests [ARGS=what pytest takes]
	@$(BIN)/python -m pytest -n 2 --no-loadscope-reorder $(ARGS)

# The local broker runs on Java, and Maven brings its jars.
kafka: $(VENV)/.installed
	@{ command -v java && command -v mvn; } >/dev/null || ! command -v apt-get >/dev/null || \
		(apt-get update -qq && apt-get install -y -qq --no-install-recommends default-jre-headless maven >/dev/null)
	@$(RUN) kafka

chromium: $(VENV)/.installed
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null)

lint: $(VENV)/.installed  ## Check style, types and SQL
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@cd include/dbt && $(BIN)/sqlfluff lint --dialect duckdb models tests && $(BIN)/sqlfluff lint --dialect snowflake models tests

format: $(VENV)/.installed  ## Put code in the house style
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: setup kafka  ## Measure speed, as ratios of one run
	@$(BIN)/python -m tests.bench $(ARGS)

PIN := $(BIN)/uv pip compile --quiet --universal --no-header --no-emit-index-url
lock: $(VENV)/.installed  ## Pin the dependencies of pyproject.toml in the requirements files
	@$(PIN) pyproject.toml -o requirements.txt
	@$(PIN) --group dev -c requirements.txt -o requirements-dev.txt
	@$(PIN) --group workers -c requirements.txt -o streaming_workers/requirements.txt

clean: down  ## Remove all run-time state
	rm -rf $(LOCAL_DIR) include/dbt/target include/dbt/logs
