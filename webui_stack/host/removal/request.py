"""What the operator's side asks of a teardown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """Names of what a deploy makes, and what of it may go.

    `host` is the name by which the settings name this host; `data` and `backups` say whether they do. `containers` are
    those of the settings in the order in which they start, `known` those of any settings. `remembered` has, by
    container, the volume of a service which these settings do not want, though an earlier deploy may have. `docker` is
    "removed", "kept", or "present" where this project did not install it. `packages` are those of Docker that are
    installed, `docker_files` the files that belong to it. `metrics_file` is what the monitor writes for node-exporter,
    "" for none.
    """

    host: str
    stack_dir: str
    backup_dir: str
    data: bool
    backups: bool
    containers: Sequence[str]
    known: Sequence[str]
    volumes: Sequence[str]
    remembered: Mapping[str, str]
    network: str
    network_label: str
    images: Sequence[str]
    deploy_log: str
    docker: str
    package_manager: str
    packages: Sequence[str]
    docker_files: Sequence[str]
    metrics_file: str = ""
