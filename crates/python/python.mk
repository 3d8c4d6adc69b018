# The Python package: build its wheel, install it into a virtual environment, and test it there.
# Included by the Makefile at the top, whose variables it uses.

PACKAGE_VENV := $(TARGET)/package-venv
PACKAGE_VENV_READY := $(PACKAGE_VENV)/.ready
WHEELS := $(TARGET)/wheels
PACKAGE_BENCH_VENV := $(TARGET)/package-bench-venv

.PHONY: bench-package package test-python wheel

package: $(PACKAGE_VENV_READY)
	rm -rf $(WHEELS)/test
	$(PACKAGE_VENV)/bin/maturin build --quiet --manifest-path crates/python/Cargo.toml --profile dev --out $(WHEELS)/test
	$(PACKAGE_VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall $(WHEELS)/test/*.whl

test-python: package ## Build the Python package's wheel, install it, and test it there
	cd tests/python/package && $(abspath $(PACKAGE_VENV))/bin/python -m pytest

# What is measured is what is shipped, beside the same Starlette as the official package's.
bench-package: $(PACKAGE_VENV_READY)
	rm -rf $(WHEELS)/bench $(PACKAGE_BENCH_VENV)
	$(PACKAGE_VENV)/bin/maturin build --quiet --manifest-path crates/python/Cargo.toml --profile dist --strip --out $(WHEELS)/bench
	python3 -m venv $(PACKAGE_BENCH_VENV)
	$(PACKAGE_BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check -c benches/requirements.txt $(WHEELS)/bench/*.whl

wheel: $(PACKAGE_VENV_READY) ## Build the Python package's wheel for others
	$(PACKAGE_VENV)/bin/maturin build --manifest-path crates/python/Cargo.toml --profile dist --strip --out $(WHEELS)

$(PACKAGE_VENV_READY): tests/python/requirements-package.txt
	rm -rf $(PACKAGE_VENV)
	python3 -m venv $(PACKAGE_VENV)
	$(PACKAGE_VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@
