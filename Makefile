# The front door. `make` alone lists what there is; CONTRIBUTING.md says more.

.DEFAULT_GOAL := help
.PHONY: help demo up test check unit contract functional guest planted races crash-sample crash crash-long crash-real partition docs lock run dev qemu nats network systemd
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# Whatever of the caller's would change which modules, tests or cloud are used stays outside.
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONSTARTUP PYTHONUSERBASE PYTHONWARNINGS
unexport MYPYPATH PYTEST_ADDOPTS PYTEST_DISABLE_PLUGIN_AUTOLOAD PYTEST_PLUGINS
unexport GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE
unexport $(filter OS_%,$(.VARIABLES))

bin := .venv/bin
pytest := $(bin)/python -m pytest
two_at_once := -n 2 --dist worksteal

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: qemu run ## See a server move from one host to another, and every way it can go wrong
	@exec $(bin)/python demo/run.py $(ARGS)

up: qemu run ## Run haulier on this machine in the foreground, until Ctrl-C
	@exec $(bin)/haulier up $(ARGS)

test: qemu nats network systemd dev ## Everything: the five stages below, then a table of them
	@rm -f .stages
	@for stage in check unit contract functional guest; do \
		scripts/stage $$stage $(MAKE) $$stage || [ $$? -ne 130 ] || exit 130; \
	done; \
	scripts/stage --summary

check: dev ## Lint, format, types, and the import rules of the architecture
	@failed=; \
	$(bin)/ruff check || failed=1; \
	$(bin)/ruff format --check || failed=1; \
	$(bin)/mypy || failed=1; \
	$(bin)/lint-imports --no-logo || failed=1; \
	test -z "$$failed"

unit: systemd dev ## Tests of one module each (ARGS="-k word" goes to pytest, here and below)
	@$(pytest) tests/unit $(ARGS)

contract: nats dev ## Tests that hold for the in-process bus and for a real NATS server alike
	@$(pytest) tests/contract $(ARGS)

functional: dev ## Tests of all processes together, with simulated hosts
	@$(pytest) $(two_at_once) tests/functional $(ARGS)

guest: qemu nats network dev ## Tests that boot real guests with QEMU, also over NATS, and use the stock OpenStack client
	@$(pytest) $(two_at_once) tests/guest $(ARGS)

crash-sample: qemu nats dev ## Some points of the two sweeps below, chosen by a seed that is printed; CI runs this
	@$(pytest) tests/crash tests/crash_real $(ARGS)

planted: qemu nats dev ## Plant each bug of tests/planted in a copy, and see that its test catches it
	@$(bin)/python scripts/planted $(ARGS)

races: dev ## Conflicting requests at the same moment, 200 rounds of each pair (ROUNDS=n, SEED=n; functional has two)
	@ROUNDS=$${ROUNDS:-200} $(pytest) $(two_at_once) tests/functional/test_races.py $(ARGS)

crash: dev ## Break haulier at every point of a move, then 100 examples of the machine (ARGS: points, SEED=n: machine)
	@$(bin)/python -m tests.crash.sweep $(ARGS)
	@$(if $(ARGS),,exec $(bin)/python -m tests.crash_machine.run --examples 100 $(if $(SEED),--seed $(SEED)))

crash-long: dev ## 500 examples of the machine: whatever can be asked and go wrong, at random (SEED=n repeats)
	@exec $(bin)/python -m tests.crash_machine.run --examples 500 $(if $(SEED),--seed $(SEED)) $(ARGS)

crash-real: qemu nats dev ## Kill -9 real processes at each step of a move with real guests, and see that all ends well
	@exec $(bin)/python -m tests.crash_real.sweep $(ARGS)

partition: qemu nats network dev ## Cut hosts off from each other at each step of a move (the guest stage has some of it; root only)
	@$(pytest) tests/guest/partition -m partition $(ARGS)

docs: dev ## Remake docs/cold-migration.md from the table of the move
	@$(bin)/python -m haulier.conductor.cold_migration.describe >docs/cold-migration.md

lock: run ## Remake locks/ from pyproject.toml (ARGS=--upgrade for the newest versions)
	@scripts/lock $(ARGS)

# What the targets above stand on; instant when there is nothing to do.
run dev:
	@scripts/system-packages python
	@scripts/environment $@

qemu:
	@scripts/system-packages python qemu

nats:
	@scripts/system-packages python nats

network:
	@scripts/system-packages python network

systemd:
	@scripts/system-packages python systemd
