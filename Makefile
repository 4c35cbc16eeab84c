# Every target does its own set-up in .venv; see scripts/setup_env.sh for PYTHON= and TORCH=.
# Part of the tests: make test PYTEST_ARGS="test/ros -x"
BIN := .venv/bin

.PHONY: help demo test lint bench tables clean setup setup-test

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: setup ## two cameras -> fusion node over ROS 2 -> a folder of pictures and numbers
	@$(BIN)/thermal-fusion demo

test: setup-test lint ## linters, types and every test
	@$(BIN)/python -m pytest -q $(PYTEST_ARGS)

lint: setup-test ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup ## latency and throughput of the frame path on this machine
	@$(BIN)/thermal-fusion bench

tables: setup-test ## re-create every table of the README, docs/ and the model cards
	@$(BIN)/python -m benchmark.tables

clean: ## remove everything that was built, .venv too
	rm -rf .venv .venv.lock build install log *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: # what the program needs
	@scripts/setup_env.sh runtime

setup-test: # and what its tests need
	@scripts/setup_env.sh test
