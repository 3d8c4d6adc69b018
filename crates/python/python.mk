# The Python package: build its wheel, install it into a virtual environment, and test it there.
# Included by the Makefile at the top, whose variables it uses.

PACKAGE_VENV := $(TARGET)/package-venv
PACKAGE_VENV_READY := $(PACKAGE_VENV)/.ready
WHEELS := $(TARGET)/wheels

.PHONY: test-python wheel

test-python: $(PACKAGE_VENV_READY) ## Build the Python package's wheel, install it, and test it there
	rm -rf $(WHEELS)/test
	$(PACKAGE_VENV)/bin/maturin build --quiet --manifest-path crates/python/Cargo.toml --profile dev --out $(WHEELS)/test
	$(PACKAGE_VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall $(WHEELS)/test/*.whl
	cd tests/python/package && $(abspath $(PACKAGE_VENV))/bin/python -m pytest

wheel: $(PACKAGE_VENV_READY) ## Build the Python package's wheel for others
	$(PACKAGE_VENV)/bin/maturin build --manifest-path crates/python/Cargo.toml --profile dist --strip --out $(WHEELS)

$(PACKAGE_VENV_READY): tests/python/requirements-package.txt
	rm -rf $(PACKAGE_VENV)
	python3 -m venv $(PACKAGE_VENV)
	$(PACKAGE_VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@
