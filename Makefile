# Every target sets up what it needs from nothing: a virtual environment in .venv, from the pinned constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
AXE := 4.14.1

.PHONY: setup check test demo e2e bench fuzz chaos storm proto clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m optimizer.warm
	touch $(READY)

check: $(READY)  ## lint, format, types, import contracts, drift of the generated gRPC code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.tools.proto_drift

test: check  ## check, then all tests
	$(BIN)/pytest

demo: $(READY)  ## the main job on the packaged sample
	$(BIN)/plb demo

e2e: $(READY)  ## the dashboard in a browser against the real service; needs Chromium and npm (a few minutes)
	npm install --silent --no-audit --no-fund --no-save --prefix artifacts/e2e axe-core@$(AXE)
	$(BIN)/pytest -n 0 tests/e2e/flows.py tests/e2e/plans.py tests/e2e/pages.py tests/e2e/speed.py

bench: $(READY)  ## the figures of docs/benchmarks.md: plans beside other solvers, the queue's migrations, forecasts (two hours)
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.queue_bench
	$(BIN)/python -m tests.forecast_bench
	$(BIN)/python -m tests.replay_bench
	$(BIN)/python -m tests.http_bench
	$(BIN)/python -m tests.tick_bench

fuzz: $(READY)  ## the whole API against its own OpenAPI document, at length, with authentication off and on (about half an hour)
	PLB_FUZZ_EXAMPLES=300 $(BIN)/pytest -n 2 --timeout 3000 tests/service/test_fuzz.py

chaos: $(READY)  ## the crash matrix on real processes, two seeds; network namespaces need root (about half an hour)
	$(BIN)/python -m tests.chaos --seeds 2

storm: $(READY)  ## a million randomised crash-point migrations in virtual time (about half an hour)
	$(BIN)/python -m plb_ray.simulation.storm --migrations 1000000 --seed 1

proto: $(READY)  ## make the generated gRPC code anew
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --grpc_python_out=. --pyi_out=. plb_ray/rpc/v1/queue.proto

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
