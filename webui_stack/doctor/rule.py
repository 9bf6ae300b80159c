"""What a rule of doctor is, and the words that several rules share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from webui_stack.model.check import Check
from webui_stack.model.doctor_observed import Observed
from webui_stack.settings.model import Settings

Rule = Callable[[Observed, Settings], Iterator[Check]]
"""The checks of one thing, or of a few that belong together. A rule yields nothing where there is nothing to judge."""

DEPLOY = "`pyinfra INVENTORY deploy.py`"
THREADS = "https://github.com/open-webui/open-webui/issues"
PULLS = "https://github.com/open-webui/open-webui/pull"
