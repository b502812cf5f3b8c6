# Everything a person does here. The supervisor behind `make run` is platform/config/supervisor/.
PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
# Each has servers of its own. tests/README.md says how tests are shared among them.
WORKERS ?= 4
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run drill test coverage check check-types check-rest bench bench-check stubs screenshots manage where servers postgres isolation soak soak-models mutants test-vllm test-models test-ansible image

help:
	@echo "make where W='...'      the modules about it, for example W='second factor'"
	@echo 'make run                start Forebay on http://localhost:8000 (Ctrl-C stops it)'
	@echo "make manage ARGS='...'  a management command on the running Forebay, for example"
	@echo "                        make manage ARGS='create_tenant acme --json'"
	@echo "make postgres ARGS='...'  pg_dump and the like, of the embedded PostgreSQL"
	@echo 'make servers            the embedded PostgreSQL and Valkey alone, for a restore'
	@echo 'make isolation          show on the running Forebay that tenants do not see each other'
	@echo 'make check              lint, types, import contract, migrations, unit tests: no server needed'
	@echo "make test               every test (ARGS='tests/audit -x' for some)"
	@echo 'make coverage           the same, and which lines they miss'
	@echo 'make soak               the long fault tests with their full counts (some hours)'
	@echo 'make soak-models        what models must reach after training and in 8 bits (two hours)'
	@echo 'make drill              failures staged on a cluster of namespaces, and their report (root; an hour or two)'
	@echo 'make mutants            one wrong line after the other: do the tests notice? some hours'
	@echo 'make test-vllm          the kind vllm against a real vLLM on the CPU (3.4 GB, some minutes)'
	@echo 'make test-models        the trainer with real PyTorch and a real engine (1.3 GB, minutes)'
	@echo 'make test-ansible       the Ansible collection against machines of namespaces (as root, half an hour)'
	@echo 'make image              the container image forebay:VERSION, and its bill of materials in var/'
	@echo 'make screenshots        the pictures of README and docs, from a platform of its own (Chromium; minutes)'
	@echo 'make bench              Forebay against the engine alone, LiteLLM and vllm-router'
	@echo 'make bench-check        did a key ratio fall since the last full run? a few minutes'
	@echo
	@echo 'PYTHON=python3.11       the interpreter to make .venv with'
	@echo 'WORKERS=4               how many processes run tests'
	@echo 'FOREBAY_HOME=./var  FOREBAY_HOST=127.0.0.1  FOREBAY_PORT=8000'
	@echo 'FOREBAY_MODEL=FILE.gguf  FOREBAY_SLOTS=16  FOREBAY_CONTEXT=2048 (tokens per slot)'
	@echo 'FOREBAY_WEB_PROCESSES=1  FOREBAY_WORKER_PROCESSES=2     how many share the port, the engines'
	@echo 'DATABASE_URL  REDIS_URL  FOREBAY_ENGINES         your own servers instead of the embedded'
	@echo 'FOREBAY_ROLES=web,grpc,workers,jobs              what this host runs: docs/deployment-hosts.md'

# exec: Ctrl-C and SIGTERM reach the supervisor, and make waits for it.
run: .venv/.base
	@exec $(PY) -m config.supervisor --end-with-parent

manage: .venv/.base
	@exec $(PY) manage.py $(ARGS)

# What the tables of architecture and contributing, and the first line of each module, say of W.
where:
	@grep -hiE -- "$(W)" docs/architecture.md CONTRIBUTING.md | cut -c 1-300 || true
	@grep -rE --include='*.py' --exclude-dir='.*' '^"""..' audit bench deploy inference infrastructure platform tenants trainer \
		| grep -iE -- "$(W)" | sort || true

# For backups and restores of the embedded PostgreSQL: docs/deployment-database.md.
servers: .venv/.base
	@exec $(PY) -m config.supervisor --end-with-parent --servers

postgres: .venv/.base
	@exec $(PY) -m config.command postgres $(ARGS)

isolation: .venv/.base
	@exec $(PY) manage.py isolation

test: .venv/.dev
	$(PYTEST) $(ARGS)

coverage: .venv/.dev
	$(PYTEST) --cov --cov-report=term $(ARGS)

# Types take as long as all the rest: side by side.
check: .venv/.dev
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target check-types check-rest

check-types:
	$(PY) -m mypy

check-rest:
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports
	$(PY) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(PY) -m deploy.known_holes requirements/base.txt
	$(PY) -m pytest -m unit -n 2 --dist loadscope $(ARGS)

# Hours: everything with the counts that are asked for, and long work of an hour.
soak: .venv/.dev .venv-train/.ready
	FOREBAY_TEST_SOAK=1 FOREBAY_TEST_MODELS=$(CURDIR)/.venv-train/bin/python FOREBAY_TEST_EXPLORE=1 FOREBAY_TEST_KILLS=50 FOREBAY_TEST_ENGINE_KILLS=20 FOREBAY_TEST_ABORTS=1000 FOREBAY_TEST_CALLS=1000 FOREBAY_TEST_TWINS=20 FOREBAY_TEST_LOCAL_REQUESTS=10000 FOREBAY_TEST_TIMINGS=500 \
		FOREBAY_ERASURE_SUBJECTS=200 FOREBAY_ERASURE_KILLS=50 \
		FOREBAY_TEST_DECISION_KILLS=100 FOREBAY_TEST_RECORD_KILLS=200 FOREBAY_TEST_RECORD_CUTS=50 \
		FOREBAY_TAMPERINGS=5000 FOREBAY_CLEAN_RUNS=1000 FOREBAY_TEST_GUESSES=1000 \
		FOREBAY_SCHEMATHESIS_EXAMPLES=20 FOREBAY_V1_EXAMPLES=1000 FOREBAY_TEST_LEDGERS=200 FOREBAY_TEST_ONE_WALL=everybody FOREBAY_TEST_HOSTS=1 FOREBAY_TEST_VERSIONS=10 FOREBAY_TEST_PARKING_KILLS=50 FOREBAY_TEST_PARKING_LOSSES=20 \
		FOREBAY_TEST_BATCH_LINES=50000 FOREBAY_TEST_SILENCE_S=16 FOREBAY_TEST_COUNT_S=3600 FOREBAY_TEST_LOAD_S=1200 FOREBAY_TEST_UPGRADE=1 FOREBAY_TEST_ISOLATION=1 \
		FOREBAY_TEST_RESTARTS=10 FOREBAY_TEST_STARTS=1 FOREBAY_TEST_CONTAINERS=1 FOREBAY_TEST_COMPOSE=1 FOREBAY_TEST_WHEEL=1 FOREBAY_TEST_NODE=1 FOREBAY_TEST_FRAMEWORKS=1 FOREBAY_TEST_SENTENCES=1 FOREBAY_TEST_PROMETHEUS=150 \
		$(PYTEST) tests/e2e tests/trainer tests/hosts tests/drills tests/config/backup tests/upgrades tests/deploy tests/isolation/test_matrix.py tests/audit/verification/test_tampering.py tests/console/api/test_schemathesis.py \
		tests/console/account/test_lockout.py tests/console/test_accessibility.py tests/console/test_browser.py tests/console/test_chat_files.py tests/console/test_tabler_look.py tests/supervisor tests/tenants/quotas/test_quota_ledger_model.py \
		tests/tenants/rate_limits/test_admission_model.py tests/inference/queue/test_fair_queue_model.py tests/inference/batch tests/inference/jobs/test_killed.py tests/inference/evaluation/test_evaluating.py tests/console/access/test_permissions.py tests/config/command/test_trainer.py tests/ansible/test_registry_source.py tests/inference/api/dialogues/test_killed.py tests/inference/api/dialogues/test_demo.py tests/inference/chat/test_browser.py \
		tests/inference/api/test_residency.py::test_nothing_leaves_while_everything_here_fails tests/inference/api/test_timing.py tests/inference/api/test_schemathesis.py tests/bench/test_parts_run.py --ignore tests/trainer/test_real_model.py --ignore tests/trainer/test_real_students.py --timeout 18000 $(ARGS)

# What the bundled model must reach on two idle cores, alone on the machine: two hours or so.
soak-models: .venv/.dev .venv-train/.ready
	FOREBAY_TEST_SOAK=1 FOREBAY_TEST_MODELS=$(CURDIR)/.venv-train/bin/python $(PY) -m pytest -n 0 tests/trainer/test_real_model.py tests/trainer/test_real_students.py tests/inference/evaluation/test_eight_bits.py tests/e2e/test_smaller_models.py --timeout 18000 $(ARGS)

# Needs root and Debian's patroni python3-etcd etcd-server etcd-client haproxy libfaketime.
drill: .venv/.dev
	$(PY) -m tests.drills $(ARGS)

# What came of each stays in var/mutants.jsonl: another run tries what was not noticed. ARGS='--only quota' for some.
mutants: .venv/.dev
	$(PY) -m tests.mutants $(ARGS)

# Apart from all others: a virtual environment of its own, and a server that takes a minute to start.
test-vllm: .venv/.dev .venv-vllm/.ready
	$(PY) -m pytest -n 0 tests_vllm $(ARGS)

.venv-vllm/.ready: tests_vllm/requirements.txt tests_vllm/install.sh
	@sh tests_vllm/install.sh $(PYTHON) .venv-vllm
	@touch $@

# The trainer's tests that need PyTorch, in its own environment's process: tests/README.md.
test-models: .venv/.dev .venv-train/.ready
	FOREBAY_TEST_MODELS=$(CURDIR)/.venv-train/bin/python $(PY) -m pytest -n 0 tests/trainer tests/inference/jobs/test_real_trainer.py tests/e2e/test_quick_start.py --timeout 3600 $(ARGS)

.venv-train/.ready: requirements/train.txt requirements/torch.txt requirements/install-train.sh
	@sh requirements/install-train.sh $(PYTHON) .venv-train
	@touch $@

# ansible-core and ansible-lint are tools of who operates, in a virtual environment of their own. There the collection of
# this checkout is forebay.platform.
.venv-ansible/.ready: requirements/ansible.txt
	@$(PYTHON) -m venv --clear .venv-ansible
	@.venv-ansible/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r $<
	@mkdir -p .venv-ansible/collections/ansible_collections/forebay
	@ln -sfn ../../../../deploy/ansible .venv-ansible/collections/ansible_collections/forebay/platform
	@touch $@

# Machines of namespaces with systemd, as root: half an hour or so on two idle cores.
test-ansible: .venv/.dev .venv-ansible/.ready
	cd deploy/ansible && PATH=$(CURDIR)/.venv-ansible/bin:$$PATH ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/.venv-ansible/collections ansible-lint --offline
	FOREBAY_TEST_ANSIBLE=1 $(PY) -m pytest -n 0 tests/ansible --timeout 7200 $(ARGS)

# Renders the chart, for `python -m deploy.kubernetes` and in tests: Helm's own code, as a library.
.venv-helm/.ready: deploy/kubernetes/helm.txt
	@$(PYTHON) -m venv --clear .venv-helm
	@.venv-helm/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

# What clients have their own stubs made from is proto/; ours are made anew after a change there.
stubs: .venv/.dev
	$(PY) proto/generate.py

# Each picture is looked at before it is committed. tests/docs/test_screenshots.py: pages show these and no others.
screenshots: .venv/.dev
	@$(PY) -m docs.screenshots $(ARGS)

# The smaller model of one part is cut out by the trainer.
bench: .venv/.dev .venv-train/.ready
	$(PY) -m bench $(ARGS)

bench-check: .venv/.dev
	$(PY) -m bench.check $(ARGS)

# With podman or docker, whichever is there. ARGS are for its `build`; EMBEDDED=1 in them puts
# PostgreSQL, Valkey, llama.cpp and the small model in: ARGS='--build-arg EMBEDDED=1'
CONTAINERS ?= $(shell command -v podman || command -v docker || echo podman)
VERSION := $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' infrastructure/release.py)
image:
	$(CONTAINERS) build $(if $(findstring podman,$(CONTAINERS)),--format docker) \
		--build-arg VERSION=$(VERSION) \
		--build-arg REVISION=`git rev-parse HEAD``git status --porcelain | sed -n '1s/.*/-changed/p'` \
		--build-arg CREATED=`git log -1 --format=%cI` -t forebay:$(VERSION) $(ARGS) .
	@mkdir -p var
	@$(CONTAINERS) run --rm --entrypoint cat $(RUN_ARGS) forebay:$(VERSION) \
		/opt/forebay/forebay.cdx.json >var/forebay-$(VERSION).cdx.json
	@echo 'forebay:$(VERSION), and what is in it: var/forebay-$(VERSION).cdx.json'

# The stamps are newer than the locks they were installed from: a warm start installs nothing.
# To stderr, so that the JSON of `make manage` stays alone on stdout.
.venv/.base: requirements/base.txt pyproject.toml | .venv/bin/python
	@sh requirements/install.sh $(PY) $<
	@sh requirements/step.sh $(PIP) install --no-deps --no-build-isolation -q -e . >&2
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.base
	@sh requirements/install.sh $(PY) $<
	@touch $@

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "$(PYTHON) is not there: install Python 3.11 or newer, or set PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, $(PYTHON) is `$(PYTHON) -V`: set PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) cannot make a virtual environment: apt install python3-venv" >&2; exit 1; }
	@echo 'Creating .venv' >&2
	@sh requirements/step.sh $(PYTHON) -m venv --clear .venv
