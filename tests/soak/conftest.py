"""What all soaks use."""

from tests.soak.tables import show

__all__ = ["show"]
