"""Whether the suite bites: each known fault is put back into a copy of the project, and tests have to turn red.

`python -m tests.mutations [WORD]` tries those whose name has the word, and prints a line for each. Exit status 1 where
one stays green.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.defaults import ROOT

LIST = ROOT / "tests/mutations.toml"
_LIMIT_S = 300
_RED = 1  # pytest's own word for tests that failed; any other status is no answer


@dataclass(frozen=True)
class Mutation:
    """A fault: the text `before` in `file` becomes `after`. `tests` are files or test ids that know it."""

    fault: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.fault.partition(":")[0]

    def put_back(self, project: Path) -> None:
        """Ensure a copy of the project has the fault. Raises `ValueError` unless the text is there once."""
        path = project / self.file
        text = path.read_text()
        if text.count(self.before) != 1:
            raise ValueError(
                f"{self.file}: expected the text of {self.name} once, got it {text.count(self.before)} times"
            )
        path.write_text(text.replace(self.before, self.after))


def listed(path: Path = LIST) -> list[Mutation]:
    """The mutations of the list, in its order."""
    with path.open("rb") as file:
        return [Mutation(**{**one, "tests": tuple(one["tests"])}) for one in tomllib.load(file)["mutation"]]


def copied(folder: Path) -> Path:
    """A copy of the project in `folder`: all that git has, or would add."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).exists():  # removed, and not committed yet
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def is_caught(mutation: Mutation) -> bool:
    """Whether the tests turn red with the fault. Raises `RuntimeError` where they are red without it, or don't run."""
    with tempfile.TemporaryDirectory() as folder:
        project = copied(Path(folder))
        if (status := _status(project, mutation)) != 0:
            raise RuntimeError(f"{mutation.name}: expected green tests without the fault, got pytest's status {status}")
        mutation.put_back(project)
        status = _status(project, mutation)
        if status not in (0, _RED):
            raise RuntimeError(f"{mutation.name}: expected tests to run with the fault, got pytest's status {status}")
        return status == _RED


def _status(project: Path, mutation: Mutation) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutation.tests],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_LIMIT_S,
        check=False,
    )
    return done.returncode


def main() -> None:
    words = sys.argv[1:]
    green = 0
    for mutation in listed():
        if words and not any(word in mutation.fault for word in words):
            continue
        caught = is_caught(mutation)
        green += not caught
        print(f"{'red, as it should be' if caught else 'GREEN: no test knows it'}  {mutation.fault}", flush=True)
    raise SystemExit(1 if green else 0)


if __name__ == "__main__":
    main()
