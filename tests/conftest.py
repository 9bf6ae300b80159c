"""The lab's hosts for every folder of tests that wants them; started when the first test asks."""

from tests.lab.evidence import pytest_runtest_makereport
from tests.lab.replicas import stack
from tests.lab.session import age_key, deployed, lab, planned, pytest_addoption

__all__ = ["age_key", "deployed", "lab", "planned", "pytest_addoption", "pytest_runtest_makereport", "stack"]
