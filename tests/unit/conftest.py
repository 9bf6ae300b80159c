"""Hypothesis draws the same examples every time: a red run is red again on the next machine."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
