# `make run` and `make test` are all a new user needs; `make help` lists the rest.
MOVIE ?= RRR
TWEETS ?= 5
SHELL := /bin/bash

VENVS := .venvs
LAPTOP := $(VENVS)/laptop
READY := $(LAPTOP)/.ready $(VENVS)/runtime/.ready $(VENVS)/emulator/.ready

# The product's Python, on PATH or held by pyenv without being exposed.
PYENV := $(or $(PYENV_ROOT),$(HOME)/.pyenv)
PYTHON := $(shell for python in python3.13 $(wildcard $(PYENV)/versions/3.13*/bin/python3.13); do \
	"$$python" -m ensurepip --version >/dev/null 2>&1 && command -v "$$python" && break; done)

.PHONY: run test parts whole pages check bench lock clean help
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

run: $(READY) ## start the laptop cloud, search a film, run the tweets: make run MOVIE="Dune (2021)"
	@$(LAPTOP)/bin/marquee up
	@$(LAPTOP)/bin/marquee search "$(MOVIE)"
	@echo
	@echo 'What a run of the tweet pipeline would post:'
	@$(LAPTOP)/bin/marquee run --count $(TWEETS) --dry-run || $(NOTHING_WRONG)
	@if $(LAPTOP)/bin/marquee status | grep -q '^posting *stand-in'; then echo; \
	  echo 'And what it posts, to the stand-in of X:'; \
	  $(LAPTOP)/bin/marquee run --count $(TWEETS) || $(NOTHING_WRONG); fi
	@echo
	@echo 'All of the last hour in numbers, since' && $(LAPTOP)/bin/marquee stats --window 1h
	@echo
	@echo 'Next: $(LAPTOP)/bin/marquee search "Dune (2021)", run, approve, doctor or down.' \
	  'The API with curl: README.md.'
	@echo
	@echo 'All of it as a page:' && $(LAPTOP)/bin/marquee status | sed -n 's/^page  */  /p'

# Exit codes of a run that has nothing to do (3), or now waits for a person (5).
NOTHING_WRONG = { status=$$?; [ $$status -eq 3 ] || [ $$status -eq 5 ] || exit $$status; }

# All at once: the tests on a laptop cloud mostly wait, and those without one take what is left.
test: $(READY) ## everything that CI runs
	@$(MAKE) --no-print-directory --jobs --keep-going check parts whole pages

parts: $(READY) ## the tests without a laptop cloud
	nice -n 5 $(LAPTOP)/bin/pytest -q -rs -n 2 --ignore tests/e2e --ignore tests/bench

whole: $(READY) ## those on a laptop cloud
	$(call on_a_cloud,tests/e2e --ignore tests/e2e/page)

pages: $(READY) ## those that drive the page there in Debian's Chromium, where it is installed
	$(call on_a_cloud,tests/e2e/page)

# On a machine that is busy with the other tests one may come too late: what fails is tried once
# more by itself, on a fresh cloud, and that counts.
define on_a_cloud
@tests() { $(LAPTOP)/bin/pytest -q -rs -o cache_dir=.pytest_cache/$@ $(1) "$$@"; }; \
  tests || { [ $$? -eq 1 ] && echo 'Once more, by itself:' && \
  tests --last-failed --last-failed-no-failures none; }
endef

check: $(READY) ## lint, format and types
	$(LAPTOP)/bin/ruff check .
	$(LAPTOP)/bin/ruff format --check .
	$(LAPTOP)/bin/mypy

bench: $(READY) ## what a search costs and how fast the parts are, as ratios of one run
	$(LAPTOP)/bin/python -m tests.bench

clean: ## take the laptop cloud down and remove everything that was made
	@[ ! -x $(LAPTOP)/bin/marquee ] || $(LAPTOP)/bin/marquee down
	rm -rf $(VENVS) .marquee .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis marquee.egg-info

lock: $(VENVS)/uv/.ready ## resolve the groups of pyproject.toml into pinned, hashed files
	@for group in uv laptop emulator; do \
	  $(VENVS)/uv/bin/uv $(RESOLVE) --group $$group -o requirements/$$group.txt; done
	@$(VENVS)/uv/bin/uv $(RESOLVE) --group runtime $(AS_TESTED) -o requirements/runtime.txt
	@for layer in dependencies social language; do \
	  $(VENVS)/uv/bin/uv $(RESOLVE) --group $$layer $(AS_TESTED) \
	  -o layers/$$layer/requirements.txt; done
AS_TESTED := --constraints requirements/laptop.txt
RESOLVE := pip compile --quiet --python-version 3.13 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

# One environment each for the tools, the functions' runtime and the emulator: their pins differ.
$(VENVS)/uv/.ready: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "Marquee needs Python 3.13: neither python3.13 on PATH nor" \
	  "one of pyenv's was found. Install it (pyenv install 3.13) and run make again." >&2; exit 1; }
	@echo "Setting up with $(PYTHON) ..."
	@"$(PYTHON)" -m venv $(VENVS)/uv
	@$(VENVS)/uv/bin/pip install --quiet --require-hashes -r $<
	@touch $@

$(VENVS)/%/.ready: requirements/%.txt $(VENVS)/uv/.ready
	@$(VENVS)/uv/bin/uv venv --quiet --clear --seed --python "$(PYTHON)" $(VENVS)/$*
	@$(VENVS)/uv/bin/uv pip install --quiet --require-hashes --python $(VENVS)/$* -r $<
	@touch $@

# The tools' environment also holds the marquee command itself, from this folder.
$(LAPTOP)/.ready: requirements/laptop.txt pyproject.toml $(VENVS)/uv/.ready
	@$(VENVS)/uv/bin/uv venv --quiet --clear --seed --python "$(PYTHON)" $(LAPTOP)
	@$(VENVS)/uv/bin/uv pip install --quiet --require-hashes --python $(LAPTOP) -r $<
	@$(VENVS)/uv/bin/uv pip install --quiet --no-deps --no-build-isolation --python $(LAPTOP) -e .
	@touch $@
