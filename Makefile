# Everything is set up in this folder: .cache/uv holds uv, .venv the packages. `make help` lists
# the targets. Needed on the machine: make, git and a Python 3 with its venv module. With
# HOST=0.0.0.0, RGDIFF_ALLOWED_HOSTS names what the app is called: docs/deployment.md.

PORT ?= 8501
HOST ?= localhost
WATCH ?= none
ARGS ?=

BIN := .venv/bin
UV := .cache/uv/bin/uv
SYNCED := .venv/.stamp-synced
BROWSER := .venv/.stamp-browser
CHROMIUM_NAMES := chromium google-chrome google-chrome-stable
DATA := .venv/.stamp-data
# Every process that a test starts imports torch: with bytecode kept, in less than half the time.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
# A file's tests stay in one process, which sets up their fixtures once.
SHARED_OUT := --numprocesses auto --dist loadfile --no-loadscope-reorder
# Each of the two has a server and a browser of its own.
IN_TWO := --numprocesses 2 --dist loadfile --no-loadscope-reorder
NO_TEST := 5# what pytest exits with where it was to run none
EXPORT := export --quiet --frozen --no-default-groups --group test --no-hashes --no-emit-project --no-annotate --no-header

.PHONY: app test lint format bench docs requirements lock clean help
.DEFAULT_GOAL := help

app: $(SYNCED) $(DATA) ## set up, fetch CIFAR-10 once, open the app (PORT=8501 HOST=localhost WATCH=none)
	@echo "app: http://$(HOST):$(PORT)"
	@exec $(BIN)/streamlit run app.py --server.port=$(PORT) --server.address=$(HOST) \
		--server.fileWatcherType=$(WATCH)

test: $(SYNCED) $(BROWSER) ## set up, the browser too, and run all tests (ARGS="-k spectra")
	@echo "test: pytest $(ARGS), on all cores, then what needs a browser, in two processes"
	@$(PYTEST) $(SHARED_OUT) -m "not browser" $(ARGS); others=$$?; \
	$(PYTEST) $(IN_TWO) -m browser $(ARGS); browser=$$?; \
	case $$others-$$browser in 0-0 | 0-$(NO_TEST) | $(NO_TEST)-0) ;; *) exit 1 ;; esac

lint: $(SYNCED) ## ruff's checks and format, pyright
	@echo "lint: ruff check, ruff format --check, pyright"
	@status=0; \
	$(BIN)/ruff check || status=1; \
	$(BIN)/ruff format --check || status=1; \
	$(BIN)/pyright || status=1; \
	exit $$status

format: $(SYNCED) ## let ruff repair and format the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(SYNCED) $(BROWSER) ## run every benchmark; each writes JSON to benchmarks/results
	@set -e; for benchmark in benchmarks/[!_]*.py; do \
		echo "bench: $$benchmark"; $(BIN)/python "$$benchmark"; done

docs: $(SYNCED) ## build the site of the documentation into build/site
	@$(BIN)/mkdocs build --strict --quiet --site-dir build/site
	@echo "docs: build/site/index.html"

requirements: | $(UV) ## export requirements.txt from the lock
	@echo "requirements: exported from uv.lock"
	@$(UV) $(EXPORT) --output-file requirements.txt

lock: | $(UV) ## resolve the newest versions that pyproject.toml allows
	@echo "lock: newest versions from PyPI"
	@$(UV) lock --upgrade --default-index https://pypi.org/simple
	@$(MAKE) --no-print-directory requirements

clean: ## remove all that make has set up here; runs and the data cache stay
	@echo "clean: .venv, .cache, caches of the tools"
	@rm -rf .venv .cache .pytest_cache .ruff_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# Any Python 3 can hold uv, which then finds or fetches one that pyproject.toml allows.
$(UV): uv.lock
	@for python in python3.11 python3.12 python3.13 python3.14 python3 none; do \
		"$$python" -c "import ensurepip, venv" 2>/dev/null && break; done; \
	[ $$python != none ] || { echo "set-up: no Python 3 with a working venv module is on PATH;" \
		"install it (on Debian and Ubuntu: apt-get install python3-venv)"; exit 1; }; \
	version=$$(sed -n '/^name = "uv"$$/{n;s/version = "\(.*\)"/\1/p;}' uv.lock); \
	echo "set-up: uv $$version into .cache/uv, with $$python"; \
	"$$python" -m venv .cache/uv && \
	.cache/uv/bin/pip install --quiet --disable-pip-version-check "uv==$$version"
	@touch $@

$(SYNCED): pyproject.toml uv.lock | $(UV)
	@echo "set-up: the packages of uv.lock into .venv (torch is large: a minute or more the first time)"
	@$(UV) sync --quiet --frozen
	@touch $@

$(BROWSER): | $(SYNCED)
	@if $(BIN)/python -c "import shutil, sys; sys.exit(not any(map(shutil.which, sys.argv[1:])))" \
			$(CHROMIUM_NAMES); then \
		echo "set-up: the browser for the tests is the system's"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "set-up: chromium, with apt-get" && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
			chromium fonts-dejavu-core >/dev/null; then :; \
	else \
		echo "set-up: Playwright's own chromium"; $(BIN)/playwright install chromium; \
	fi
	@touch $@

$(DATA): | $(SYNCED)
	@echo "set-up: CIFAR-10 into the user's cache"
	@if $(BIN)/rgdiff data fetch cifar10; then touch $@; else \
		echo "set-up: CIFAR-10 cannot be downloaded now; the app starts with other data"; fi
	@echo "set-up: φ⁴ configurations, 32×32, into the user's cache"
	@$(BIN)/rgdiff data fetch phi4-32x32 || echo "set-up: the app generates them when they are asked for"
