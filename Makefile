# Every recipe is a command that you could type. README.md and CONTRIBUTING.md explain the targets.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
DEMO ?=
BIN := .venv/bin
# Nobody can ask 0.0.0.0, which means every address.
SHOWN_HOST := $(patsubst 0.0.0.0,127.0.0.1,$(HOST))

SERVE := $(BIN)/python -m qyvo.serve --host $(HOST) --port $(PORT)

.PHONY: run serve test check newer lint bench messages pictures lock
.DELETE_ON_ERROR:

# First it is asked whether the port is free, so that nothing else happens where another program has
# it. The two processes are in process groups of their own (set -m): Ctrl-C reaches the shell only,
# which ends each with one signal.
run: SHELL := bash
run: .venv/runtime
	@$(BIN)/python -c "from qyvo.serve import listen, port_number; listen('$(HOST)', port_number('$(PORT)'))"
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py create_demo --url http://$(SHOWN_HOST):$(PORT) $(if $(filter 1,$(DEMO)),,--sqlite-only)
	@set -m; $(BIN)/python manage.py worker & worker=$$!; \
	$(SERVE) & server=$$!; \
	trap 'kill $$worker $$server 2>/dev/null; wait' EXIT; trap 'trap "" INT TERM; exit' INT TERM; \
	wait $$server

# The server alone, for a database that is migrated.
serve: .venv/runtime
	@exec $(SERVE)

PYTEST := $(BIN)/python -m pytest -n auto
# As a role that row-level security holds for.
ON_POSTGRESQL := $(BIN)/python -m tests.support.postgres --restricted
ON_SQLITE := DATABASE_URL=
# Without what each process would import and not use: the plugin of the fuzzer, and the tests that
# start programs.
QUICK := -p no:schemathesis --ignore=tests/system

# Each test once, on PostgreSQL, and what depends on the database on SQLite, too. Left out are the
# tests that start programs. A .env file and the shell's DATABASE_URL change nothing; nor does a
# shell that tells Python to keep no compiled modules, for then each process of the tests, and each
# program that a test starts, would compile the project again: six seconds in each of the former.
test: export ENV_FILE := /dev/null
test: export PYTHONDONTWRITEBYTECODE :=
# Both runs at the same time: while one of them starts or ends with a single busy process, the other
# uses the second processor. The output of SQLite's run follows when both have ended.
test: .venv/development
	@echo "On PostgreSQL; on SQLite at the same time, shown at the end."
	@output=$$(mktemp); trap 'rm -f $$output' EXIT; \
	$(ON_SQLITE) $(PYTEST) -n 2 $(QUICK) -m "both and not system" >$$output 2>&1 & sqlite=$$!; \
	$(ON_POSTGRESQL) $(PYTEST) $(QUICK) -m "not system"; failed=$$?; \
	wait $$sqlite || failed=$$?; cat $$output; exit $$failed

# A part on the newer Pythons first: what breaks there is found in minutes. Then every test on both
# databases (but for those marked `once`). With more examples; tests that no database decides have
# them on PostgreSQL only. Of these, SQLite runs one of three, which the seed of the run chooses: a
# test that lacks the mark `both` is found after three runs, not in each. The cluster's tests need
# etcd, HAProxy, PgBouncer and Redis; where one is missing, each says that it was skipped.
check: export ENV_FILE := /dev/null
check: export PYTHONDONTWRITEBYTECODE :=
check: export HYPOTHESIS_PROFILE := thorough
check: newer test
	$(ON_POSTGRESQL) $(PYTEST) -m "system and not once"
	$(ON_SQLITE) HYPOTHESIS_PROFILE=quick $(PYTEST) $(QUICK) -m "not system and not both" --one-of 3
	$(ON_SQLITE) $(PYTEST) --dist loadscope -o "python_files=test_*.py cluster.py" tests/system

newer: .venv/development
	.ci/newer_pythons

lint: .venv/development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python manage.py makemigrations --check --dry-run

# Beside other ways to build the same; on two processors a quarter of an hour.
bench: export ENV_FILE := /dev/null
bench: .venv/benchmarks
	$(BIN)/python -m tests.support.postgres $(BIN)/python -m tests.benchmarks.create_contact
	$(BIN)/python -m tests.support.postgres $(BIN)/python -m tests.benchmarks.batch
	$(BIN)/python -m tests.support.postgres $(BIN)/python -m tests.benchmarks.imports
	$(BIN)/python -m tests.benchmarks.hostile_bodies

# The catalogues of translations get all texts of the code, and keep what is translated.
messages: .venv/development
	@$(BIN)/python -m tests.support.messages

# The pictures of the admin in the documentation; needs Chromium.
pictures: export ENV_FILE := /dev/null
pictures: export PYTHONDONTWRITEBYTECODE :=
pictures: export PICTURES_DIR := docs/pictures
pictures: .venv/development
	$(ON_SQLITE) $(BIN)/python -m pytest tests/system/gallery.py -k light

# Also the generators of clients, which tests/system/generated_clients.py installs, and Patroni, which
# tests/system/cluster.py installs.
lock: CLIENTS := tests/system/clients
lock: .venv/development
	$(BIN)/uv pip compile --quiet pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --group bench -c requirements-dev.txt -o requirements-bench.txt
	$(BIN)/uv pip compile --quiet $(CLIENTS)/requirements.in -o $(CLIENTS)/requirements.txt
	$(BIN)/uv pip compile --quiet docs/cluster/requirements.in -o docs/cluster/requirements.txt
	npm install --silent --prefix $(CLIENTS) --package-lock-only --omit-lockfile-registry-resolved

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

.venv/benchmarks: .venv/development requirements-bench.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	touch $@
