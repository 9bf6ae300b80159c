"""tests/mutations.toml: each known fault can still be put back, and its tests are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import mutations
from tests.defaults import ROOT
from tests.mutations import Mutation

LISTED = mutations.listed()


@pytest.mark.parametrize("mutation", LISTED, ids=[one.name for one in LISTED])
def test_a_fault_of_the_list_can_be_put_back(mutation: Mutation, tmp_path: Path) -> None:
    (tmp_path / mutation.file).parent.mkdir(parents=True)
    (tmp_path / mutation.file).write_text((ROOT / mutation.file).read_text())
    mutation.put_back(tmp_path)
    compile((tmp_path / mutation.file).read_text(), mutation.file, "exec")
    assert all((ROOT / test.partition("::")[0]).is_file() for test in mutation.tests)


def test_a_fault_whose_text_is_gone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n")
    for before, times in (("y", 0), ("x = 1", 2)):
        with pytest.raises(ValueError, match=rf"^a.py: expected the text of L0 once, got it {times} times$"):
            Mutation("L0: nothing", "a.py", before, "", ()).put_back(tmp_path)


def test_a_suite_that_knows_nothing_of_a_fault_stays_green(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a change of a comment is caught by no test."""
    monkeypatch.setattr(mutations, "copied", lambda folder: folder)
    monkeypatch.setattr(Mutation, "put_back", lambda *_: None)
    statuses = iter([0, 0, 0, 1, 1])
    monkeypatch.setattr(mutations, "_status", lambda *_: next(statuses))
    assert not mutations.is_caught(LISTED[0])
    assert mutations.is_caught(LISTED[0])
    with pytest.raises(RuntimeError, match="expected green tests without the fault, got pytest's status 1"):
        mutations.is_caught(LISTED[0])
