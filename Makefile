# Every command of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

LOCAL_DIR ?= $(CURDIR)/.local
PYTHON ?= $(shell python3 standalone/which_python.py || echo false)
VENV := $(CURDIR)/.local/venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
DATA_DIR ?=
REPLACE ?= 0
RUN ?= 0
SCALE ?= 1
STATE ?= $(LOCAL_DIR)/dbt-state
SITE ?= $(LOCAL_DIR)/site
IMAGE_TAG ?= local
WAREHOUSE ?= duckdb
AIRFLOW_IMAGE := marketing-insight-pipeline/airflow:$(IMAGE_TAG)
WORKERS_IMAGE := marketing-insight-pipeline/workers:$(IMAGE_TAG)
CHECK_ENV := $(LOCAL_DIR)/check.env
# Port 0 is any that is free: the stack of a user may run beside it.
CHECK = AIRFLOW_PORT=0 DATA_DIR=$(or $(DATA_DIR),$(LOCAL_DIR)/data/sample-$(SCALE)) docker compose --project-name marketing-check --env-file $(CHECK_ENV)
ASTRO_URL = https://github.com/astronomer/astro-cli/releases/download/v$(ASTRO_VERSION)/astro_$(ASTRO_VERSION)_linux_amd64.tar.gz
ASTRO := $(or $(shell command -v astro),$(LOCAL_DIR)/bin/astro)

export LOCAL_DIR DATA_DIR REPLACE RUN
# One environment for every command below; `source .local/env.sh` gives a shell the same.
STANDALONE := $(BIN)/python -m standalone

.PHONY: help setup build demo report up status down backup restore copy query segments test coverage lint style types check-fast format bench \
	bench-compare soak lock manifest clean chromium promtool axe \
	kafka java check parse docs retention digests jars-checksums state slim secrets audit actionlint env images sample containers containers-test \
	push scan sign deploy release-check release

help:  ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | sort | awk -F'\t' '{printf "  make %-13s %s\n", $$1, $$2}'

# Runs a command and says every few seconds that it is at work: $(WHILE) "What it does" command …
define WHILE
say() { echo "$$1 …"; (while sleep 5 >/dev/null 2>&1; do echo "$$1 … $$SECONDS s"; done) & pid=$$!; trap "kill $$pid" EXIT; shift; "$$@"; }; say
endef

$(VENV)/.installed: requirements.txt requirements-dev.txt requirements-uv.txt
	@install -d -m 700 $(CURDIR)/.local
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-uv.txt
	@$(WHILE) "Installing the pinned packages" $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.txt requirements-dev.txt
	@touch $@

setup: $(VENV)/.installed manifest  ## Install everything that is pinned, under .local/ (quick the second time)

# Cosmos reads the dbt manifest, so it must exist before Airflow parses a DAG.
manifest: $(VENV)/.installed
	@$(STANDALONE) manifest

build: $(VENV)/.installed  ## Files in, tested tables out, no Airflow [DATA_DIR=path] [DUCKDB_PATH=file] [REPLACE=1]
	@$(STANDALONE) build --scale $(SCALE)

segments: $(VENV)/.installed  ## Train the segments on what `make build` built, and the tables that follow
	@$(STANDALONE) segments

demo: $(VENV)/.installed java  ## Run the whole product once and print a summary [DATA_DIR=path] [SCALE=n]
	@$(STANDALONE) demo --scale $(SCALE)

report: $(VENV)/.installed  ## Write the newest insights as one HTML file [ARGS="--period 30d"]
	@$(BIN)/python -W ignore -m include.insights.report $(ARGS)

up: $(VENV)/.installed java  ## Start the stack and keep it running: UI on http://localhost:8080 [FEEDS=live] [RUN=1]
	@$(STANDALONE) up --scale $(SCALE)

status: $(VENV)/.installed  ## Say what runs, with which files, feeds and ports, and how each DAG stands
	@$(STANDALONE) status

down:  ## Stop what `make up` started
	@$(STANDALONE) down

backup: $(VENV)/.installed  ## Back up warehouse, segments and Airflow's database, while all runs [BACKUPS=7]
	@$(BIN)/python -m include.backup create

restore: $(VENV)/.installed  ## Put a backup in place, by default the newest; first make down [BACKUP=name]
	@$(STANDALONE) restore $(BACKUP)

copy: $(VENV)/.installed  ## Copy the DuckDB file for a SQL tool, while all runs [TO=folder/marketing_insights.duckdb]
	@$(BIN)/python -m include.backup copy $(TO)

# As it was typed: make would expand what follows a dollar.
query: override export SQL := $(value SQL)
query: $(VENV)/.installed  ## Print all rows of a query SQL="select …" [FORMAT=table|csv|json]
	@$(BIN)/python -W ignore -m include.query

check: $(VENV)/.installed  ## Check the warehouse's connection and privileges
	@$(BIN)/python -W ignore -m include.warehouse.check

test: setup kafka chromium promtool axe  ## Run all tests [ARGS=what pytest takes]
	@mkdir -p .local/coverage
	@$(BIN)/python -m pytest -n logical --maxprocesses=4 --no-loadscope-reorder $(or $(ARGS),--durations=20)

# Measuring takes half as much again of what runs in a test's own process.
coverage: override ARGS := --cov --cov-report=term:skip-covered --durations=20
coverage: test  ## Run all tests and measure which lines they reach

kafka: $(VENV)/.installed java
	@$(STANDALONE) kafka

# The local broker runs on Java, and Maven brings its jars.
java:
	@{ command -v java && command -v mvn; } >/dev/null || ! command -v apt-get >/dev/null || \
		(apt-get update -qq && apt-get install -y -qq --no-install-recommends default-jre-headless maven >/dev/null)

jars-checksums:  ## Write the jars.sha512 beside each pom again, after a change of one
	@for folder in standalone/kafka tests/containers/standins; do \
		jars=$$(mktemp -d) && mvn --quiet --batch-mode --strict-checksums -f $$folder/pom.xml \
			dependency:copy-dependencies -DoutputDirectory="$$jars" && (cd "$$jars" && sha512sum *.jar) > $$folder/jars.sha512 \
			&& rm -r "$$jars" || exit 1; \
	done

# A tag can be moved, a digest cannot. Dependabot moves both on.
IMAGES_IN := Dockerfile streaming_workers/Dockerfile docker-compose.yaml
digests:  ## Pin the base images by their tags' digests (needs Docker and the registries)
	@grep -hoE '^(FROM|    image:) [^ $$]+$$' $(IMAGES_IN) | sed -E 's/.* //; s/@.*//' | sort -u | while read -r image; do \
		digest=$$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$$image") || exit 1; \
		[[ $$digest =~ ^sha256:[0-9a-f]{64}$$ ]] || { echo "$$image has no digest: $$digest" >&2; exit 1; }; \
		sed -i -E "s#( $$image)(@sha256:[0-9a-f]{64})?\$$#\1@$$digest#" $(IMAGES_IN) || exit 1; \
	done

chromium: $(VENV)/.installed
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null)

# What judges the page for readers with a screen reader or a keyboard; only the tests need it.
AXE := $(LOCAL_DIR)/axe
axe: $(AXE)/package/axe.min.js
$(AXE)/package/axe.min.js:
	@command -v npm >/dev/null || (apt-get update -qq && apt-get install -y -qq --no-install-recommends npm >/dev/null)
	@mkdir -p $(AXE) && cd $(AXE) && npm pack --silent axe-core@4.14.1 >/dev/null
	@cd $(AXE) && echo "$(AXE_SHA512)  axe-core-4.14.1.tgz" | sha512sum --check --quiet
	@tar --extract --gzip --touch --file $(AXE)/axe-core-4.14.1.tgz --directory $(AXE) package/axe.min.js
AXE_SHA512 := 1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5

# Of Debian's package only the one program: nothing is installed, and no server starts.
promtool:
	@command -v promtool >/dev/null || test -x $(LOCAL_DIR)/promtool/usr/bin/promtool || ! command -v apt-get >/dev/null || \
		(apt-get update -qq && mkdir -p $(LOCAL_DIR)/promtool && cd $(LOCAL_DIR)/promtool && \
		apt-get download -qq prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool && rm prometheus_*.deb)

lint: style types  ## Check style, types and SQL
	@cd include/dbt && $(BIN)/sqlfluff lint --dialect duckdb models tests && $(BIN)/sqlfluff lint --dialect snowflake models tests

style: $(VENV)/.installed
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/lint-imports --cache-dir .local/import-linter > .local/import-linter.txt || { cat .local/import-linter.txt; exit 1; }
	@$(BIN)/codespell

types: $(VENV)/.installed
	@$(BIN)/mypy

# Whole folders, so that a new test is in. tests/conftest.py says which of their tests are slow, and so left out.
FAST_TESTS := tests/ingestion tests/insights tests/ml tests/orchestration tests/streaming_workers tests/warehouse tests/test_settings.py
check-fast: style types  ## Check style, types and what is quick to test, in under a minute, while you edit
	@$(BIN)/python -m pytest -q -n logical -m "not containers and not slow" --durations=3 $(FAST_TESTS)

parse: setup  ## Parse dbt for both warehouses and import every DAG, without credentials
	@$(BIN)/python -m pytest -q tests/dags tests/dbt/test_dialects.py .astro/test_dag_integrity_default.py

docs: state  ## Build the manual as a site, with dbt's docs, in .local/site
	@NO_MKDOCS_2_WARNING=1 DBT_DOCS=$(abspath $(STATE))/static_index.html $(BIN)/mkdocs build --strict --site-dir $(SITE)  # --quiet would hide the warnings from --strict
	@echo "Open $(SITE)/index.html"

state: setup  ## Build dbt on generated files; manifest, warehouse and docs end in STATE [STATE=folder]
	@$(STANDALONE) state --state $(STATE)

slim: setup  ## Build only the dbt models that differ from STATE, and their children [STATE=folder]
	@$(STANDALONE) changes --state $(STATE)

retention: $(VENV)/.installed  ## Delete old run results, logs and model versions
	@$(BIN)/python -W ignore -m include.retention

format: $(VENV)/.installed  ## Put code in the house style
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

secrets: $(VENV)/.installed  ## Look for secrets in the files of the repository
	@git ls-files -z -- ':!tests' | xargs -0 $(BIN)/detect-secrets-hook --exclude-secrets '^simulator$$' --exclude-lines 'secretName: '
	@git ls-files -z -- tests | xargs -0 $(BIN)/detect-secrets-hook $(MADE_UP)
# Tests hold made-up logins and checksums; what has the form of a real key is a finding there, too.
MADE_UP := --disable-plugin KeywordDetector --disable-plugin BasicAuthDetector \
	--disable-plugin HexHighEntropyString --disable-plugin Base64HighEntropyString

audit: $(VENV)/.installed  ## Look up everything pinned in the OSV database (needs the internet)
	@$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --vulnerability-service osv \
		$(if $(OSV_URL),--osv-url $(OSV_URL)) -r requirements.txt -r requirements-dev.txt

actionlint:  ## Check the workflows (needs Go)
	@GOBIN=$(LOCAL_DIR)/bin go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
	@$(LOCAL_DIR)/bin/actionlint

env: $(VENV)/.installed  ## Write .env for docker compose, with fresh secrets
	@$(BIN)/python -m include.container_secrets write

images:  ## Build both images (needs Docker) [IMAGE_TAG=tag] [WAREHOUSE=snowflake]
	docker build --build-arg WAREHOUSE=$(WAREHOUSE) --tag $(AIRFLOW_IMAGE) .
	docker build --file streaming_workers/Dockerfile --tag $(WORKERS_IMAGE) .

sample: $(VENV)/.installed  ## Make the generated shop's files, in .local/data/sample-1 [SCALE=n]
	@$(BIN)/python -m standalone.sample_data --scale $(SCALE) $(LOCAL_DIR)/data/sample-$(SCALE)

containers: $(VENV)/.installed images sample  ## Build and start the containers in a project of their own until healthy
	@rm -f $(CHECK_ENV) && $(BIN)/python -m include.container_secrets write $(CHECK_ENV)
	@$(CHECK) up --wait --wait-timeout 600; status=$$?; \
		[ $$status = 0 ] || $(CHECK) logs --tail 50; $(CHECK) down --volumes; exit $$status

# Not in `make test`: it takes 10 to 20 minutes, root where no engine runs, and some 6 GB in .local/containers.
containers-test: $(VENV)/.installed  ## Run the compose file on a container engine, with faults [ARGS=for pytest]
	@docker info >/dev/null 2>&1 || command -v dockerd >/dev/null || ! command -v apt-get >/dev/null || (apt-get update -qq \
		&& apt-get install -y -qq --no-install-recommends docker.io debootstrap default-jre-headless maven >/dev/null)
	@$(BIN)/python -m pytest -m containers -s $(ARGS) tests/containers

# What was pushed, one reference by digest a line; the container driver of buildx is what makes attestations.
PUSHED := $(LOCAL_DIR)/pushed
BUILDX = docker buildx build --builder marketing --push --sbom=true --provenance=mode=max
# The one that was named, in the environment or here; the default would be no choice.
NAMED_WAREHOUSE = $(if $(filter file,$(origin WAREHOUSE)),,$(WAREHOUSE))
push:  ## Build and push both images REGISTRY=host/path WAREHOUSE=snowflake [IMAGE_TAG=tag]
	@test -n "$(REGISTRY)" || { echo "REGISTRY is not set, as in REGISTRY=registry.example.com/team" >&2; exit 2; }
	@built=$$(docker image inspect --format '{{index .Config.Labels "warehouse"}}' $(AIRFLOW_IMAGE) 2>/dev/null || true); \
		wanted=$(or $(NAMED_WAREHOUSE),$$built); \
		test -n "$$wanted" || { echo "WAREHOUSE is not set, as in WAREHOUSE=snowflake: an image is built for one" >&2; exit 2; }; \
		test "$${built:-$$wanted}" = "$$wanted" || { echo "$(AIRFLOW_IMAGE) was built for $$built, not for $$wanted:" \
			"take another IMAGE_TAG, or first make images WAREHOUSE=$$wanted IMAGE_TAG=$(IMAGE_TAG)" >&2; exit 2; }; \
		rm -rf $(PUSHED) && mkdir -p $(PUSHED) && echo "$$wanted" > $(PUSHED)/warehouse
	@[ -z "$$REGISTRY_TOKEN" ] || docker login $(firstword $(subst /, ,$(REGISTRY))) \
		--username "$$REGISTRY_USER" --password-stdin <<< "$$REGISTRY_TOKEN"
	@docker buildx inspect marketing >/dev/null 2>&1 || docker buildx create --name marketing --driver docker-container
	$(BUILDX) --metadata-file $(PUSHED)/airflow.json --build-arg WAREHOUSE=$$(cat $(PUSHED)/warehouse) --tag $(REGISTRY)/$(AIRFLOW_IMAGE) .
	$(BUILDX) --metadata-file $(PUSHED)/workers.json --file streaming_workers/Dockerfile --tag $(REGISTRY)/$(WORKERS_IMAGE) .
	@for image in airflow workers; do \
		digest=$$(grep -oE '"containerimage.digest": *"sha256:[0-9a-f]{64}"' $(PUSHED)/$$image.json | grep -oE 'sha256:\w+') && \
		echo "$(REGISTRY)/marketing-insight-pipeline/$$image@$$digest" >> $(PUSHED)/references || exit 1; \
	done
	docker pull "$$(grep /airflow@ $(PUSHED)/references)"
	docker tag "$$(grep /airflow@ $(PUSHED)/references)" $(AIRFLOW_IMAGE)

$(LOCAL_DIR)/bin/grype:
	@GOBIN=$(LOCAL_DIR)/bin go install github.com/anchore/grype/cmd/grype@v0.121.2

scan: $(LOCAL_DIR)/bin/grype  ## Scan what was pushed; fails on a grave weakness that has a fix (needs Go)
	@while read -r image; do $(LOCAL_DIR)/bin/grype --only-fixed --fail-on high "registry:$$image" || exit 1; done < $(PUSHED)/references

sign:  ## Sign what was pushed, by digest (needs cosign, and in CI no key)
	@while read -r image; do cosign sign --yes "$$image" || exit 1; done < $(PUSHED)/references

deploy: $(ASTRO)  ## Deploy the Airflow image to Astro DEPLOYMENT=id [IMAGE_TAG=tag]
	@test -n "$(DEPLOYMENT)" || { echo "DEPLOYMENT is not set: the id of an Astro Deployment" >&2; exit 2; }
	$(ASTRO) deploy $(DEPLOYMENT) --image-name $(AIRFLOW_IMAGE)

# Its own installer takes the latest without a checksum. This takes the release for Linux on x86-64 that you name.
$(LOCAL_DIR)/bin/astro:
	@test -n "$(ASTRO_VERSION)" -a -n "$(ASTRO_SHA256)" || { echo "there is no astro in the PATH: install it, or set" \
		"ASTRO_VERSION and ASTRO_SHA256 to a release and the checksum on its page" >&2; exit 2; }
	@mkdir -p $(@D)
	@curl --fail --silent --show-error --location --output $@.tar.gz $(ASTRO_URL)
	@echo "$(ASTRO_SHA256)  $@.tar.gz" | sha256sum --check --quiet
	@tar --extract --gzip --file $@.tar.gz --directory $(@D) astro && rm $@.tar.gz

# A section of the changelog is the notes of its release.
NOTES = awk '/^\#\# /{found = $$2 == version} found && !/^\#\# /' version="$(TAG:v%=%)" CHANGELOG.md
VERSION = $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
release-check:  ## Check TAG against the version, the changelog and CI of the commit (needs gh) TAG=v1.2.3
	@test "$(TAG)" = "v$(VERSION)" || { echo "TAG is $(TAG), pyproject.toml has the version $(VERSION)" >&2; exit 2; }
	@$(NOTES) | grep -q '[^[:space:]]' || { echo "CHANGELOG.md has no section of $(VERSION)" >&2; exit 2; }
	@commit=$$(git rev-parse HEAD) && green=$$(gh run list --workflow ci.yml --branch main --event push \
		--commit "$$commit" --status success --json databaseId --jq length) && [ "$$green" -gt 0 ] || \
		{ echo "CI is not green for $$commit on main: when it is, run this job again" >&2; exit 2; }

release: release-check  ## Make the GitHub release of TAG, with notes from the changelog (needs gh) TAG=v1.2.3
	@$(NOTES) | gh release create "$(TAG)" --verify-tag --title "$(TAG)" --notes-file -

bench: setup kafka  ## Measure speed beside its limits, 10 minutes; figures in .local/bench.json [ARGS=names]
	@$(BIN)/python -m tests.bench $(ARGS)

# The newest artefact of a commit on main: not of a fork's branch of that name.
FIGURES_OF_MAIN := [.artifacts[] | select(.workflow_run | .head_branch == "main" and .head_repository_id == .repository_id) \
	| select(.expired | not)] | max_by(.created_at) | .id // empty
FORMER := $(LOCAL_DIR)/former
bench-compare: $(VENV)/.installed  ## Warn of what is a tenth worse than in main's last figures (needs gh)
	@rm -rf $(FORMER) && mkdir -p $(FORMER)
	@id=$$(gh api --method GET 'repos/{owner}/{repo}/actions/artifacts' -f name=bench -f per_page=100 --jq '$(FIGURES_OF_MAIN)') && \
		{ [ -z "$$id" ] || { gh api "repos/{owner}/{repo}/actions/artifacts/$$id/zip" > $(FORMER)/bench.zip && \
		$(BIN)/python -m zipfile -e $(FORMER)/bench.zip $(FORMER); }; }
	@$(BIN)/python -m tests.bench.figures $(FORMER)/bench.json $(LOCAL_DIR)/bench.json

soak: setup kafka  ## Random faults for hours: no message lost [FAULTS=1000] [SEED=n]
	@$(BIN)/python -m tests.e2e.streaming_faults.soak $(if $(FAULTS),--faults $(FAULTS)) $(if $(SEED),--seed $(SEED))

PIN := $(BIN)/uv pip compile --quiet --universal --no-header --no-emit-index-url --generate-hashes
lock: $(VENV)/.installed  ## Pin the dependencies of pyproject.toml in the requirements files [EXTRAS="s3 users"]
	@$(PIN) pyproject.toml $(EXTRAS:%=--extra %) -o requirements.txt
	@$(PIN) --group dev -c requirements.txt -o requirements-dev.txt
	@$(PIN) --group workers -c requirements.txt -o streaming_workers/requirements.txt
	@$(PIN) --no-annotate - -o requirements-uv.txt <<< "uv==$(UV_VERSION)"

clean: down  ## Remove all run-time state
	rm -rf $(LOCAL_DIR) include/dbt/target include/dbt/logs
