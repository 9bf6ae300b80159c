"""Python looks for garbage rarely: most of what a session of tests has are 8,000 tests, and they stay to its end."""

from __future__ import annotations

import gc

import pytest


def pytest_collection() -> None:
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()
