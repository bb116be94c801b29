# The whole developer interface; CI calls only these. Each target sets up what it needs.
PYTHON3 ?= python3
BIN := .venv/bin
PYTHON := $(BIN)/python
STAMP := .venv/.made-from-lock
PIP := $(PYTHON) -m pip -qq --disable-pip-version-check --no-input
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
	$(if $(UPGRADE),--upgrade)
# What `make up` makes where .env has none.
SECRETS := APPROVAL_TOKEN_KEY RABBITMQ_PASSWORD

.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak up docs format lock clean settings

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

demo: $(STAMP) ## the whole loop on this machine, with nothing else installed
	@$(BIN)/countersign demo $(ARGS)

test: $(STAMP) ## the tests; one whose server is missing is skipped (CI=true: fails); ARGS="-k relay"
	@$(PYTHON) -m pytest $(ARGS)

check: $(STAMP) ## style, types, and generated pages against the code
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy --strict
	@$(PYTHON) -m worker.docs --check

bench: $(STAMP) ## ours against what one would pick instead, in one run
	@$(PYTHON) -m bench $(ARGS)

soak: $(STAMP) ## the long tests, up to an hour each
	@$(PYTHON) -m pytest -m soak --timeout 3600 $(ARGS)

up: settings ## broker and consumer in containers; the first run makes secrets in .env
	@docker compose up --detach --build --wait
	@echo "Running. RabbitMQ's pages: http://$$(docker compose port rabbitmq 15672) (user countersign, password in .env)"
	@echo "Publish to amqp://countersign:PASSWORD@$$(docker compose port rabbitmq 5672)/, exchange events."
	@echo "What it does: docker compose logs --follow consumer    End: docker compose down"

docs: $(STAMP) ## write the schemas, the AsyncAPI document and the settings page again
	@$(PYTHON) -m worker.docs

format: $(STAMP) ## put right what a tool can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock: ## the lock files from pyproject.toml, with uv; UPGRADE=1 takes the newest versions
	@$(COMPILE) pyproject.toml --all-extras --group dev --output-file requirements-dev.lock
	@$(COMPILE) pyproject.toml --extra postgres --constraints requirements-dev.lock --output-file requirements.lock
	@$(COMPILE) --group build --constraints requirements-dev.lock --output-file requirements-build.lock

clean: ## remove all that can be made again
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-outbox dist

# Made anew only when the lock changes. A half-made one has no stamp, so the next call starts over.
$(STAMP): requirements-dev.lock
	@command -v $(PYTHON3) >/dev/null || { \
		echo "$(PYTHON3) is missing: sudo apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed and $(PYTHON3) is $$($(PYTHON3) -V): try make PYTHON3=python3.13" >&2; exit 1; }
	@$(PYTHON3) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "Python's venv module is missing: sudo apt install" \
		"$$($(PYTHON3) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; exit 1; }
	@echo "Making .venv from requirements-dev.lock: once, about half a minute"
	@$(PYTHON3) -m venv --clear .venv
	@$(PIP) install --require-hashes --only-binary :all: --requirement requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.env: | .env.example
	@install -m 600 .env.example .env

# Fills in what is empty and leaves the rest: an .env written by hand gets its secrets too.
settings: .env
	@for name in $(SECRETS); do grep -q "^$$name=." .env || { sed -i.old "/^$$name=/d" .env && rm .env.old && \
		echo "$$name=$$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')" >>.env; }; done
	@for name in SMTP_HOST SMTP_FROM_ADDRESS; do grep -q "^$$name=." .env || { \
		echo "$$name is empty in .env: name your mail server and the sender there, then make up again" >&2; exit 2; }; done
