"""The one exception the lab raises for things an operator can put right."""


class LabError(Exception):
    """Reads `where: expected, got, what to do`; printed without a traceback."""
