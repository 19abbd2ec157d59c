SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# ansible-core 2.19 is the last for Python 3.11: what is newer has pins of its own.
PINS := $(if $(filter 3.11.%,$(shell $(PYTHON) -c 'import platform; print(platform.python_version())')),,-3.12)
VENV := .venv
BIN := $(VENV)/bin
ANTEST := .venvs/antest
IMPORTER := .venvs/importer
# ansible-lint and molecule call Ansible's other programs by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

# What `make test` runs, quick answers first; each stage is a target below.
STAGES_FAST := lint fast
STAGES := lint packages units faults sanity install-test import-test molecule e2e
JUNIT := .cache/junit
SCENARIOS := $(patsubst extensions/molecule/%/molecule.yml,molecule-%,$(wildcard extensions/molecule/*/molecule.yml))
PYTEST = $(BIN)/pytest --junitxml=$(JUNIT)/$@.xml

.DELETE_ON_ERROR:
.PHONY: $(SCENARIOS) help venv cluster-tools setup setup-test demo lab-up lab-down test test-fast test-pythons \
	fast $(STAGES) lint-python lint-types lint-ansible lint-changelog docs clean

help: ## show what there is to make
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

## environments

PLAYBOOK = $(BIN)/ansible-playbook
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

setup: venv ## every environment that the lab needs; quick the second time
	$(PLAYBOOK) playbooks/prepare.yml

setup-test: venv ## what the tests need beside it: a browser, network tools
	$(PLAYBOOK) playbooks/prepare.yml --extra-vars @tests/host_packages.yml

venv: $(VENV)/.made .collections/ansible_collections/rcalab/llm ## the environment of control and analysis, .venv

$(VENV)/.made: requirements/control.in requirements/control$(PINS).txt pyproject.toml
	@# Debian's Python comes without venv.
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -q -y python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint requirements/control$(PINS).txt --requirement requirements/control.in
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

# rcalab.llm is this folder, for playbooks, ansible-lint, molecule and pytest.
.collections/ansible_collections/rcalab/llm:
	mkdir -p $(@D)
	ln -sfn ../../.. $@

cluster-tools: venv ## kubernetes.core, helm and kubectl, for roles of a cluster and their tests
	@$(BIN)/python tools/cluster_tools.py

$(ANTEST)/.made: requirements/antest.in requirements/antest$(PINS).txt
	$(PYTHON) -m venv $(ANTEST)
	$(ANTEST)/bin/pip install --quiet --constraint requirements/antest$(PINS).txt --requirement requirements/antest.in
	touch $@

$(IMPORTER)/.made: requirements/importer.in requirements/importer.txt
	$(PYTHON) -m venv $(IMPORTER)
	$(IMPORTER)/bin/pip install --quiet --constraint requirements/importer.txt --requirement requirements/importer.in
	touch $@

## the lab

demo: setup ## the main job: lab up, one run with a fault, diagnosis, report, lab down
	$(BIN)/python tools/demo.py

lab-up: setup ## bring the lab up and leave it
	$(PLAYBOOK) playbooks/lab_up.yml

lab-down: venv ## remove all that the lab made, from whatever state it is in
	$(PLAYBOOK) playbooks/lab_down.yml

## checks

test: setup-test ## everything, with the lab
	@$(BIN)/python tools/stages.py --junit $(JUNIT) $(STAGES)

test-fast: venv ## lint and tests without a lab, in under 3 minutes
	@$(BIN)/python tools/stages.py --junit $(JUNIT) $(STAGES_FAST)

test-pythons: ## the packages' tests and ansible-test on the other Pythons that are here
	@$(PYTHON) tools/other_pythons.py --junit $(JUNIT)

lint: cluster-tools ## ruff, mypy, ansible-lint, yamllint, changelog, side by side
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target \
		lint-ansible lint-types lint-python lint-changelog

lint-python:
	$(BIN)/ruff check
	$(BIN)/ruff format --check

lint-types:
	$(BIN)/mypy
	$(BIN)/mypy tools benchmarks

lint-ansible: cluster-tools
	$(BIN)/ansible-lint --offline

lint-changelog:
	$(BIN)/antsibull-changelog lint

# The modules' own tests are left to ansible-test, which gives each a process of its own.
fast: cluster-tools ## tests that need no server, no sandbox and no data set
	$(PYTEST) --numprocesses=2 -m 'not slow' tests/packages \
		$(addprefix tests/unit/plugins/,callback lookup module_utils)

packages: cluster-tools ## tests of the packages and of the collection as files, with pytest
	$(PYTEST) --numprocesses=2 tests/packages

units: $(ANTEST)/.made ## tests of the plugins as ansible-test runs them
	$(ANTEST)/bin/python tools/ansible_test.py --junit $(JUNIT) units

# ansible-test does not know tools/, and in it the sandbox of real parts.
faults: venv ## the host's faults in a sandbox, and what is left when their processes are killed
	$(PYTEST) tests/unit/plugins/module_utils/faults/test_host_faults.py

# ansible-test judges what Ansible runs; ruff and mypy judge the packages, by other rules.
NOT_ANSIBLE := loadgen/ rca_engine/ rcalab_common/ benchmarks/ tools/ tests/packages/ tests/fake_kubernetes/ tests/servers/ \
	tests/e2e/ extensions/molecule/utils/files/
sanity: $(ANTEST)/.made ## ansible-test sanity
	$(ANTEST)/bin/python tools/ansible_test.py --junit $(JUNIT) sanity --junit \
		$(addprefix --exclude=,$(NOT_ANSIBLE))

install-test: cluster-tools ## build the collection, install it elsewhere, use it there
	$(PYTEST) tests/e2e/test_install.py

import-test: $(IMPORTER)/.made ## Galaxy's importer on the built collection
	$(IMPORTER)/bin/python tools/as_junit.py $(JUNIT)/$@.xml $@ $(IMPORTER)/bin/python tools/galaxy_import.py

molecule: cluster-tools ## every scenario of extensions/molecule, two side by side
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target $(SCENARIOS)

$(SCENARIOS): molecule-%: cluster-tools
	$(BIN)/python tools/as_junit.py $(JUNIT)/$@.xml $* $(BIN)/molecule test --scenario-name $*

e2e: setup-test ## the lab from start to report
	$(PYTEST) tests/e2e --ignore=tests/e2e/test_install.py

## the rest

docs: venv ## write the roles' READMEs from their argument specs, and Grafana's dashboards
	$(BIN)/python tools/role_readmes.py
	PYTHONPATH=tools $(BIN)/python -m dashboards

clean: ## remove environments, caches and results of tests
	rm -rf .venv .venvs .collections .cache .ansible .mypy_cache .ruff_cache .pytest_cache dist
