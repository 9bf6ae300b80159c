"""What goes wrong on a host, in the words of an operator."""

from __future__ import annotations


class HostError(Exception):
    """Something on the host is not as expected; nobody has to read a traceback for it.

    `where` names the thing, `expected` and `got` the difference, and `do` what an operator does about it. The message
    has the form of all errors of this project: `where: expected E, got G; do`.
    """

    def __init__(self, where: str, *, expected: str, got: str, do: str) -> None:
        super().__init__(f"{where}: expected {expected}, got {got}; {do}")
        self.where, self.expected, self.got, self.do = where, expected, got, do
