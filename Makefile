# Every target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# Some machines have it set for every shell. Each of the hundreds of processes here would compile a thousand modules anew:
# a run of pyinfra takes 0.9 s of a processor until it begins, and 2.3 s without Python's caches.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
READY := .venv/ready

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# pyinfra finds tasks/ from any folder: the clone is on its Python's path, except in a folder that has a tasks/ of its own.
# Debian splits venv off its python3; it is the one thing python3 and make alone don't bring.
# Not compiled in advance: Python compiles what is imported, which is a small part of it, and keeps it.
$(READY): requirements-dev.txt
	@echo "== Setting up .venv (about a minute, 500 MB)"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3: expected 3.11 or newer, got $$(python3 --version)"; exit 1; }
	@python3 -c 'import ensurepip' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq python3-venv; \
	  else echo "python3: expected its venv module, got none; install python3-venv"; exit 1; fi; }
	@rm -rf .venv && python3 -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements-dev.txt
	@$(BIN)/python -c 'import os, site; open(site.getsitepackages()[0] + "/open-webui-stack.pth", "w").write( \
	  f"import os, sys; os.path.isdir(\"tasks\") or sys.path.append({os.getcwd()!r})\n")'
	@touch $(READY)

setup: $(READY) ## Make .venv with the locked dependencies

lab: $(READY) ## Throw-away host on this machine, the stack deployed to it and proved
	$(BIN)/python -m lab up
	$(BIN)/pyinfra -y inventories/lab.py deploy.py
	@$(BIN)/python -m lab status

lab-down: $(READY) ## Remove that lab and everything in it
	$(BIN)/python -m lab down

# What is left is as on a machine that never saw this project, but for installed packages. `down --purge` is refused
# while another lab exists. Images that were pulled, reports/ and bundles/ stay.
cold: $(READY) ## As on a fresh machine: the default lab purged, both .venv, caches of the tools, of pip and of apt removed
	$(BIN)/python -m lab down --purge
	$(BIN)/pip cache purge
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get clean && rm -rf /var/lib/apt/lists/*; \
	  else echo "apt's caches stay: only root can remove them"; fi
	rm -rf .venv benchmarks/.venv docs/_build .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

check: $(READY) ## The fast loop: format, lint, types, unit and plan tests (about a minute and a half)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@$(MAKE) --no-print-directory --jobs 2 types fast

types: $(READY)
	$(BIN)/mypy

# A test of these has no other's files, ports or hosts, so they run in any order and side by side. Some wait for a second
# or ten: with a process more than there are cores, no core does.
CHECKERS := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
SIDE_BY_SIDE := --numprocesses $(CHECKERS) --maxprocesses 8 --dist worksteal
fast: $(READY) promtool caddy
	$(BIN)/pytest -q $(SIDE_BY_SIDE) -m "not crash" --junitxml reports/tests/check.xml tests/unit tests/plan tests/host

# What checks the alert rules: Debian's own programs, unpacked beside the project, so that no service is installed.
UNPACKED := .cache/prometheus
CADDY := .cache/caddy
export PATH := $(CURDIR)/$(UNPACKED)/usr/bin:$(CURDIR)/$(CADDY)/usr/bin:$(PATH)
promtool:
	@command -v promtool amtool >/dev/null || { \
	  if ! command -v apt-get >/dev/null; then echo "promtool: not on this machine; its tests are skipped"; exit 0; fi; \
	  echo "== Unpacking promtool and amtool into $(UNPACKED) (30 MB)"; mkdir -p $(UNPACKED) && cd $(UNPACKED); \
	  apt-get download -qq prometheus prometheus-alertmanager 2>/dev/null || \
	    { apt-get update -qq && apt-get download -qq prometheus prometheus-alertmanager; }; \
	  for deb in *.deb; do dpkg-deb -x "$$deb" . && rm "$$deb"; done; }

# What checks the proxy's file. Debian's release has a Caddy of 2022; this one comes from its backports, by lists of its
# own: the machine's apt stays as it is. Without backports it is the release's.
APT_HERE = apt-get -qq -o Dir::Etc::SourceList=$(CURDIR)/$(CADDY)/apt/backports.list -o Dir::Etc::SourceParts=- \
  -o Dir::State::Lists=$(CURDIR)/$(CADDY)/apt/lists -o Dir::Cache=$(CURDIR)/$(CADDY)/apt/cache
caddy: promtool
	@command -v caddy >/dev/null || { \
	  if ! command -v apt-get >/dev/null; then echo "caddy: not on this machine; its tests are skipped"; exit 0; fi; \
	  echo "== Unpacking caddy into $(CADDY) (45 MB)"; mkdir -p $(CADDY)/apt/{lists,cache/archives}/partial && cd $(CADDY); \
	  mirror() { apt-get indextargets --format '$$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | sed -n 1p; }; \
	  [ "$$(mirror)" ] || apt-get update -qq; \
	  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $$(mirror) trixie-backports main" >apt/backports.list; \
	  { $(APT_HERE) update && $(APT_HERE) download caddy; } 2>/dev/null || apt-get download -qq caddy; \
	  for deb in *.deb; do dpkg-deb -x "$$deb" . && rm "$$deb"; done; rm -rf apt; }

crash: $(READY) ## Each call of the host's program fails once with each error, and is cut off once (about three minutes)
	$(BIN)/pytest -q $(SIDE_BY_SIDE) -m crash --junitxml reports/tests/crash.xml tests/host
	@$(BIN)/python -m tests.crashes

mutations: $(READY) ## Known faults are put back one by one, and tests have to turn red (some minutes)
	$(BIN)/python -m tests.mutations

durations: $(READY) ## The slowest tests of the last `make check` and `make test`
	@$(BIN)/python -m tests.durations

test: chromium ## Everything: check, crash, then real hosts in labs of their own and a browser (about half an hour)
	@rm -rf reports/tests
	@$(MAKE) --no-print-directory --jobs 2 check images crash
	@$(MAKE) --no-print-directory --jobs $(LABS) --keep-going $(PARTS:%=part-%)

# Before the parts begin: they all need them, and what fails there is said once, in sight.
LAB_UP = $(BIN)/python -m lab up --name $${TEST_LAB_NAME-pytest}
images: $(READY)
	@{ $(LAB_UP) --with all && $(LAB_UP) --host 3 --debian 12 && $(LAB_UP) --host 4 --init none --python none && \
	  $(LAB_UP) --host 5 --engine newer && \
	  $(BIN)/python -m tests.lab.saved; } 2>&1 | sed -u 's/^/images   /'

# The parts of `make test`: each is a lab of its own, with the hosts its tests ask for and no others. Much of what they do
# is waiting, for containers to get healthy and for watchdogs to notice, so more of them than cores run side by side.
# The longest come first, so that all end together. `make part-drift` runs one of them alone.
# Within a part the order counts: what a test leaves on a host, such as a probe's account, is there for those after it.
# Files with tests of one stack stand together: it is stopped where the next test has another.
LABS ?= 4
PARTS := first many swarm drift data later newer day2 watch
PART_first := $(addprefix tests/browser/test_,chat.py report.py) $(addprefix tests/lab/test_,output.py deploy.py adoption.py rollout.py)
PART_swarm := tests/lab/test_swarm.py
PART_later := $(addprefix tests/lab/test_,day_two.py how_to.py offsite.py package.py)
PART_many := $(addprefix tests/browser/test_,replicas.py own_proxies.py sign_in.py) $(addprefix tests/lab/test_,proxy.py replicas.py telemetry.py lab.py postgres.py migrate.py)
PART_watch := $(addprefix tests/lab/test_,access.py crowd.py promises.py monitor.py schedules.py sign_in.py)
PART_day2 := $(addprefix tests/lab/test_,failures.py lock.py rotate.py secrets.py status.py teardown.py)
PART_drift := $(addprefix tests/lab/test_,convergence.py doctor.py hardening.py odd_hosts.py overlay.py probe.py saved_settings.py)
PART_data := $(addprefix tests/lab/test_,backup.py bundle.py docker_config.py)
PART_newer := $(addprefix tests/lab/test_,newer_engine.py contract.py sites.py)

# Only where it is missing: behind a prerequisite that runs, the longest parts would begin last.
ifeq ($(shell command -v chromium),)
part-first part-many: chromium
endif

# What a part says is marked with its name. Its results are in reports/tests/, with the state of hosts where tests failed.
part-%: $(READY)
	TEST_LAB_NAME=$${TEST_LAB_NAME-pytest}-$* $(BIN)/pytest -v -m "not long" --junitxml reports/tests/$*.xml $(PART_$*) 2>&1 | sed -u 's/^/$*  /'

long: $(READY) chromium ## What takes minutes of waiting by nature, such as each drift by itself (more than an hour)
	TEST_LAB_NAME=$${TEST_LAB_NAME-pytest}-long $(BIN)/pytest -v -m long --junitxml reports/tests/long.xml tests/lab tests/browser

# The distribution's: Playwright's own browsers come from a download server that not every network lets through.
chromium:
	@command -v chromium >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && grep -qx ID=debian /etc/os-release 2>/dev/null; then \
	    echo "== Installing chromium for the browser tests (about a minute, 700 MB)"; \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	  else echo "chromium: expected it in PATH, got none; install chromium (make does it only as root on Debian)"; exit 1; fi; }

soak: $(READY) ## The long loops: 20 killed runs, Valkeys and hosts; faults and throughput on one host and a swarm (about 150 minutes)
	$(BIN)/pytest -v tests/soak

# A venv of its own: Ansible is what we compare with, not what we are made of.
BENCH_READY := benchmarks/.venv/ready
$(BENCH_READY): benchmarks/requirements.txt
	@echo "== Setting up benchmarks/.venv (about a minute, 750 MB)"
	@rm -rf benchmarks/.venv && python3 -m venv benchmarks/.venv
	@benchmarks/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.txt
	@touch $(BENCH_READY)

bench: $(READY) $(BENCH_READY) ## Ours beside Ansible on eight lab hosts, to benchmarks/RESULTS.md (about an hour)
	benchmarks/.venv/bin/python -m benchmarks.run $(BENCH)

# No network: themes and pictures are in the packages and in docs/. A warning, such as a link to nowhere, is an error.
dist: $(READY) ## The wheel, in dist/
	@rm -rf dist
	$(BIN)/python -m build --no-isolation --wheel --outdir dist .

docs: $(READY) ## The documentation as a site, in docs/_build/
	$(BIN)/sphinx-build -W --keep-going -n -q docs docs/_build
	@echo "docs/_build/index.html"

lock: $(READY) ## Pin the newest dependencies with hashes
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-header \
	  pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-header \
	  pyproject.toml --group dev -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-header \
	  benchmarks/requirements.in -o benchmarks/requirements.txt

.PHONY: help setup lab lab-down cold check types fast promtool caddy crash mutations durations test images long chromium soak bench dist docs lock
