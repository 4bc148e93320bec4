# Every line is a command that a person could type. All of them make .venv first, if it is missing or older than pyproject.toml.
PYTHON ?= python3
LESSON ?=
LOCKED ?=

BIN := .venv/bin
# nbgrader calls alembic by name, so the environment's programs must be found first
export PATH := $(CURDIR)/$(BIN):$(PATH)
PYTEST := python -m pytest -n 2 --dist loadfile
PIP := python -m pip install --disable-pip-version-check$(if $(LOCKED), -c constraints.txt)
STAMP := $(if $(LOCKED),-locked)
# tests that execute lessons or exercises: `quick` leaves them out
EXECUTING := tests/answers tests/browser tests/classroom tests/exercises tests/mutants

.PHONY: help lab test test-all quick lesson exercises mutants bench site all-lessons browser-all newcomer
help:
	@echo "make lab              open the course in JupyterLab (LOCKED=1: with the versions of the stored outputs)"
	@echo "make test             all lessons executed, all exercises and answers graded"
	@echo "make test-all         the rest as well, for hours: all mutants, every explorer, larger runs, the classroom"
	@echo "make quick            the tests that execute no lesson"
	@echo "make lesson LESSON=13 execute one lesson and print its claims table"
	@echo "make exercises        regenerate exercises/ from solutions/"
	@echo "make mutants LESSON=13  break each build step and see that a check notices (no LESSON: all)"
	@echo "make bench            kernels and blocks beside their peers; renews benchmarks/results.md"
	@echo "make site             the course as a static site in build/site, from the stored outputs"
	@echo "make all-lessons      execute every lesson; renews benchmarks/lessons.md: seconds, memory, verdicts"
	@echo "make browser-all      every lesson's explorer moved in a real browser"
	@echo "make newcomer         lab and test from a fresh clone, as a fresh user: minutes and megabytes"

lab: .venv/learner$(STAMP)
	course lab $(LESSON)

test: .venv/developer$(STAMP)
	$(PYTEST) tests --ignore=tests/classroom
	$(PYTEST) --nbval-lax --nbval-current-env chapters solutions

test-all: test
	COURSE_ALL=1 $(PYTEST) tests/browser tests/lessons/test_full_settings.py
	COURSE_LONG=1 $(PYTEST) tests/classroom
	COURSE_THOROUGH=1 $(PYTEST) tests/library
	python tests/mutants --all

quick: .venv/developer$(STAMP)
	$(PYTEST) tests $(EXECUTING:%=--ignore=%)

lesson: .venv/learner$(STAMP)
	@test -n "$(LESSON)" || { echo "Which one? make lesson LESSON=13"; exit 2; }
	course run $(LESSON)

exercises: .venv/developer$(STAMP)
	course release

mutants: .venv/developer$(STAMP)
	python tests/mutants $(LESSON)

bench: .venv/developer$(STAMP)
	$(PIP) -q -e ".[bench]"
	python benchmarks/kernels.py --write

site: .venv/learner$(STAMP)
	$(PIP) -q -e ".[site]"
	python docs/site

all-lessons: .venv/learner$(STAMP)
	python benchmarks/lessons.py

browser-all: .venv/developer$(STAMP)
	COURSE_ALL=1 $(PYTEST) tests/browser/test_explorers.py

newcomer: .venv/learner$(STAMP)
	python benchmarks/newcomer.py --python $(PYTHON)

# The two set-ups: what a learner needs, and what the tests need on top. The stamp says that this
# pyproject.toml is installed.
.venv/learner$(STAMP): pyproject.toml | $(BIN)/python
	@echo "Setting up .venv; the first time this takes some minutes, most of them for PyTorch."
	$(PIP) -e .
	@touch $@

.venv/developer$(STAMP): pyproject.toml | $(BIN)/python
	@echo "Setting up .venv for the tests; the first time this takes some minutes, most of them for PyTorch."
	$(PIP) -e ".[dev,classroom,triton,site]"
	@touch $@ .venv/learner$(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
