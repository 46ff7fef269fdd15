# `make demo` and `make test` need Python 3.11+ and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: demo test check images lock bench clean

.venv/.runtime: requirements.lock requirements-build.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the locked dependencies into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock -r requirements-build.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	@echo "Installing the locked development tools into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: .venv/.runtime  ## the whole product against the stand-in world, on one URL
	@$(BIN)/personal-agent demo $(ARGS)

check: .venv/.dev  ## lint, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check  ## everything CI runs
	$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

bench: .venv/.dev  ## the measured comparisons of benchmarks/
	$(BIN)/python -m benchmarks $(ARGS)

images: .venv/.dev  ## the pictures in docs/images, from the product itself
	$(BIN)/python -m docs.make_images

lock: .venv/.dev  ## resolve the dependencies again, with hashes
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header -o requirements-build.lock --group build
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --group dev -c requirements.lock -o requirements-dev.lock pyproject.toml

clean:
	rm -rf .venv build *.egg-info
