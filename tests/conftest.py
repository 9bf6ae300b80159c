"""What every folder of tests may want, made when the first test asks: the lab's hosts, command lines in forks."""

from collections.abc import Iterator

import pytest

from tests.forks import Forks
from tests.garbage import pytest_collection, pytest_collection_finish
from tests.lab.evidence import pytest_runtest_makereport
from tests.lab.own_proxies import doors
from tests.lab.replicas import stack
from tests.lab.session import age_key, deployed, lab, planned, pytest_addoption
from tests.lab.sign_in_host import replicated
from tests.order import pytest_collection_modifyitems

__all__ = [
    "age_key",
    "deployed",
    "doors",
    "forks",
    "lab",
    "planned",
    "pytest_addoption",
    "pytest_collection",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_runtest_makereport",
    "replicated",
    "stack",
]


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """pyinfra's command line and this project's, loaded once."""
    loaded = Forks()
    yield loaded
    loaded.close()
