"""A host whose file system is a folder of the test's, and whose programs say what the test has them say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from webui_stack.host.errors import HostError
from webui_stack.host.system import Ended, System

# What a program prints for these arguments; None where it says no.
Program = Callable[[Sequence[str]], "str | None"]


@dataclass(frozen=True)
class Asked:
    """A program that was run."""

    command: tuple[str, ...]
    stdin: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    limit_s: float = 0
    descriptors: tuple[int, ...] = ()


class FakeSystem(System):
    """Has these programs and no others, by name."""

    def __init__(self, root: Path, **programs: Program | str) -> None:
        super().__init__(str(root))
        self.programs = {name.replace("_", "-"): program for name, program in programs.items()}
        self.asked: list[Asked] = []

    def put(self, path: str, text: str | bytes = "") -> Path:
        """A file of this host; its mode is 0644."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        file.chmod(0o644)
        return file

    def has(self, program: str) -> bool:
        return program in self.programs

    def ahead(self, *command: str) -> None:
        """Nothing here is quicker for it: a program says what it says when it is asked."""

    def _order(self, command: Sequence[str], limit_s: float) -> tuple[int, str]:
        del limit_s
        status, said, errors = self._run(command, "", None)
        return status, said + errors

    def _run(self, command: Sequence[str], stdin: str, environment: Mapping[str, str] | None) -> tuple[int, str, str]:
        name, *arguments = command
        if name not in self.programs:
            raise HostError(name, expected="an answer", got="no such program", do="run it on the host")
        self.asked.append(Asked(tuple(command), stdin, dict(environment or {})))
        program = self.programs[name]
        said = program if isinstance(program, str) else program(arguments)
        return (1, "", "it says no") if said is None else (0, said, "")

    def _carry_out(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        limit_s: float,
        descriptors: Sequence[int],
        tell: Callable[[str], object] | None,
    ) -> Ended:
        """A program that says no has said why on stderr."""
        status, said, errors = self._run(command, "", environment)
        self.asked[-1] = replace(self.asked[-1], limit_s=limit_s, descriptors=tuple(descriptors))
        for line in said.splitlines() if tell else ():
            assert tell
            tell(line)
        return Ended(status, said, errors)

    def _pour(self, command: Sequence[str], stdin: bytes, into: Callable[[bytes], object], limit_s: float) -> Ended:
        status, said, errors = self._run(command, stdin.decode(), None)
        self.asked[-1] = replace(self.asked[-1], limit_s=limit_s)
        into(said.encode())
        return Ended(status, "", errors)
