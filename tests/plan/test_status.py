"""Status as the operator sees it: a table, what there is to look at, JSON, and a page at a path that stays."""

from __future__ import annotations

import json
import re

from tests.defaults import ROOT
from tests.plan.conftest import Pyinfra, fresh

PAGE = ROOT / "reports/status.html"


def test_a_run_shows_all_hosts_and_writes_the_page_beside_the_json_and_at_its_own_path(pyinfra: Pyinfra) -> None:
    run = pyinfra({"one": fresh(), "two": fresh()}, "-y", deploy="runbooks/status.py")
    assert run.status == 0, run.output
    assert "@fake/one: no stack here" in run.output
    (path,) = re.findall(r"(?m)^\s*status: (\S+)$", run.output)
    assert re.findall(r"(?m)^\s*page: (\S+)$", run.output) == ["reports/status.html"]
    file = ROOT / path
    assert list(json.loads(file.read_text())) == ["@fake/one", "@fake/two"]
    page = file.with_name("status.html").read_text()
    assert page.count("no stack here") >= 2
    assert PAGE.read_text().startswith("<!doctype html>")  # another run may have replaced it
    assert list(PAGE.parent.glob("status.html.*")) == []
