"""Hypothesis draws the same examples every time: a red run is red again on the next machine."""

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of this machine that has the host's program: compiling its 170 modules takes a second of a core."""
    from tests.local import local_host  # pyinfra, which most tests here do without
    from webui_stack.transport import program

    folder = str(tmp_path_factory.mktemp("programs"))
    program.send(local_host(), folder)
    return folder
