# Shorthands; each target is one line of CONTRIBUTING.md. The full check before a change lands is .ci/run.
.PHONY: check test test-all docs site bench

check:
	ruff check .
	ruff format --check .
	pyright

test:
	pytest

test-all:
	pytest -m "not cuda" -n auto

docs:
	python docs/images/architecture.py

site:
	python docs/site/build.py

bench:
	python benchmarks/step_speed.py --quick
	python benchmarks/many_codes.py --quick
	python benchmarks/saving_time.py --quick
	python benchmarks/evaluation.py --quick
	python benchmarks/distributed.py --quick
