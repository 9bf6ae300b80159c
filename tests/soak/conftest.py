"""The lab of tests/lab, for runs too long for `make test`."""

from tests.lab.conftest import deployed, lab, planned, pytest_addoption

__all__ = ["deployed", "lab", "planned", "pytest_addoption"]
