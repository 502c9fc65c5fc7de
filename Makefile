# For people: every target installs what it needs first, which is silent and instant once it is there.
#   make demo                                  the whole way on a simulated site
#   make run SITE=my_site.yaml VIDEOS=folder   the same stack on your own recordings
#   make test [TESTS=tests/api]                linters, types and tests
#   make bench · make lint · make lock · make clean
# Another Python: make demo PYTHON=python3.12

SUITABLE = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.12 python3.11; do \
	$$python -c '$(SUITABLE)' 2>/dev/null && { echo $$python; break; }; done)
endif

# The shell becomes Python, so that a signal sent to make reaches the program itself.
INSTALL = '$(PYTHON)' deploy/install.py
RUN = ENV=$$($(INSTALL) app) && exec "$$ENV/bin/python"
TYPED = $(wildcard api benchmarks demo deploy export orchestrator)
TESTS = tests

.PHONY: demo run test lint bench lock clean environments

demo: environments
	@$(RUN) -m demo

run: environments
	@test -n '$(SITE)' && test -n '$(VIDEOS)' || { echo 'usage: make run SITE=my_site.yaml VIDEOS=folder' >&2; exit 2; }
	@$(RUN) -m demo run --site '$(SITE)' --videos '$(VIDEOS)'

test: lint
	@$(RUN) -m pytest $(TESTS)

lint: environments
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy --strict $(TYPED)

bench: environments
	@$(RUN) -m benchmarks throughput

# The locks anew from pyproject.toml and triton.in; they pin name, version and hash, and name no host. The server's is the
# part of the application's that containers need.
LOCK = pip compile -q --python-version 3.11 --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	--no-emit-find-links

lock:
	@UV=$$($(INSTALL) uv) && "$$UV" $(LOCK) --extra demo --extra dev pyproject.toml -o deploy/locks/app.txt && \
		"$$UV" $(LOCK) --constraint deploy/locks/app.txt pyproject.toml -o deploy/locks/server.txt && \
		"$$UV" $(LOCK) deploy/locks/triton.in -o deploy/locks/triton.txt

clean:
	@test ! -e .spoton/lock || flock --nonblock .spoton/lock true || { echo '.spoton is in use: stop that run first' >&2; exit 1; }
	@rm -rf .spoton .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

environments:
	@'$(PYTHON)' -c '$(SUITABLE)' 2>/dev/null || { echo 'Python 3.11 or 3.12 is needed: make PYTHON=/path/to/python3.12' >&2; exit 1; }
	@exec $(INSTALL) app triton >/dev/null
