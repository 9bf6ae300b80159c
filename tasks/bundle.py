"""The bundle of this run: where it is, and that its checksums are right."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pyinfra import logger

from webui_stack import bundle, invocation
from webui_stack.bundle import Bundle, BundleError
from webui_stack.settings import Settings


def check(of_all: Mapping[str, Settings]) -> list[str]:
    """Every problem of the bundles these hosts are deployed from; all checksums are compared, once for each bundle."""
    problems = []
    for settings in of_all.values():
        if settings.image_source == "bundle":
            try:
                opened(settings)
            except BundleError as error:
                problems.append(str(error))
    return list(dict.fromkeys(problems))


def path(settings: Settings) -> Path:
    """The host's bundle, whether it is there or not."""
    if settings.bundle_file:
        return Path(settings.bundle_file).expanduser().absolute()
    file = invocation.inventory_file()
    return Path("bundles", f"{file.stem if file else 'no-inventory-file'}.tar").absolute()


def opened(settings: Settings) -> Bundle:
    """The host's bundle. Raises `BundleError` when it is none."""
    found = _read(path(settings))
    if isinstance(found, BundleError):
        raise found
    return found


@cache
def _read(file: Path) -> Bundle | BundleError:
    try:
        return bundle.read(file, logger.info)
    except BundleError as error:
        return error
