# Every recipe is a command one could type; README.md explains them.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
DEMO ?=
BIN := .venv/bin
# Nobody can ask 0.0.0.0, which means every address.
SHOWN_HOST := $(patsubst 0.0.0.0,127.0.0.1,$(HOST))

# Measured: a process a processor, of four threads each, answers most; on SQLite, which has one
# writer at a time, one.
DATABASE := $(or $(DATABASE_URL),$(shell sed -n "s/^\(export \)*DATABASE_URL *= *[\"']*//p" $(or $(ENV_FILE),.env) 2>/dev/null))
export GRANIAN_WORKERS ?= $(if $(filter postgres%,$(DATABASE)),$(shell getconf _NPROCESSORS_ONLN),1)
ifeq ($(LOG_FORMAT),json)
export GRANIAN_LOG_CONFIG ?= qyvo/granian.json
endif
SERVE := $(BIN)/granian --interface wsgi --http 1 --host $(HOST) --port $(PORT) --blocking-threads 4 --backpressure 64 --workers-kill-timeout 30 --respawn-failed-workers --no-ws qyvo.wsgi:application

.PHONY: run serve test lint bench lock
.DELETE_ON_ERROR:

# Each in a process group of its own (set -m), so that one signal reaches it once: granian takes a
# lock in its handlers, and a second signal that arrives meanwhile, as after Ctrl-C, may hang it.
run: SHELL := bash
run: .venv/runtime
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py create_demo --url http://$(SHOWN_HOST):$(PORT) $(if $(filter 1,$(DEMO)),,--sqlite-only)
	@set -m; $(BIN)/python manage.py worker & worker=$$!; \
	$(SERVE) & server=$$!; \
	trap 'kill $$worker $$server 2>/dev/null; wait' EXIT; trap 'trap "" INT TERM; exit' INT TERM; \
	wait $$server

# The server alone, for a database that is migrated.
serve: .venv/runtime
	@exec $(SERVE)

# Whatever the shell or a .env file say: the defaults, on SQLite; then on PostgreSQL, as a role that
# row-level security holds for, all that a database may change.
test: export ENV_FILE := /dev/null
test: .venv/development
	DATABASE_URL= $(BIN)/python -m pytest -n auto
	$(BIN)/python -m tests.postgres --restricted $(BIN)/python -m pytest -n auto -m "not once"

lint: .venv/development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python manage.py makemigrations --check --dry-run

# Beside other ways to build the same; on two processors a quarter of an hour.
bench: export ENV_FILE := /dev/null
bench: .venv/development
	$(BIN)/python -m tests.postgres $(BIN)/python -m tests.benchmarks.create_contact
	$(BIN)/python -m tests.postgres $(BIN)/python -m tests.benchmarks.batch
	$(BIN)/python -m tests.postgres $(BIN)/python -m tests.benchmarks.imports
	$(BIN)/python -m tests.benchmarks.hostile_bodies

lock: .venv/development
	$(BIN)/uv pip compile --quiet pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

# A .venv whose Python is gone or too old is made again.
SUITABLE := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
ifneq ($(shell test -x $(BIN)/python && $(BIN)/python $(SUITABLE) && echo yes),yes)
.PHONY: $(BIN)/python
endif
$(BIN)/python:
	@$(PYTHON) $(SUITABLE) 2>/dev/null || { echo "Python 3.11 or newer is needed, but $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not there). Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv --clear .venv || { rm -rf .venv; echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

.venv/runtime: .venv/bin/python requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	touch $@

.venv/development: .venv/bin/python requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $@ .venv/runtime
