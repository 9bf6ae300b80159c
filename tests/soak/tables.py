"""A soak's tables on their way to people: on the terminal, and in reports/soak/."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from rich.console import Console

from tests.lab.session import ROOT
from tests.soak import account

REPORTS = ROOT / "reports" / "soak"
Show = Callable[[str, Sequence[str], Sequence[Sequence[str]]], None]


def keep(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write the table; once more after each row, so that a run that is ended early leaves what it saw."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"{title.lower().replace(' ', '-')}.md").write_text(account.markdown(title, columns, rows))


@pytest.fixture(scope="module")
def show(request: pytest.FixtureRequest) -> Show:
    """Print a table, in a run that passes as well: it is what was measured."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def _show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        with capture.global_and_fixture_disabled():
            print()
            Console(width=140).print(account.table(title, columns, rows))

    return _show
