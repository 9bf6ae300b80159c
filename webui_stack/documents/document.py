"""The survey's document: what the host's program says of a host, and in which form. Also how a form is checked. Pure.

All keys are always there. `""`, 0, empty lists and None mean "none", as each field says. Nothing in it is a secret.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, TypeAdapter, ValidationError
from typing_extensions import TypedDict

_Document = TypeVar("_Document")


class IncompleteError(ValueError):
    """A section of the document is missing, or has another form: its contents are unknown."""


def checked(name: str, form: TypeAdapter[_Document], content: object, do: str = "run it again") -> _Document:
    """The document called `name`, which has this form.

    Raises `IncompleteError` naming a section, and no value; its text ends with what to `do`.
    """
    try:
        return form.validate_python(content, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if not problem["loc"]:
            raise IncompleteError(f"{name}: expected a JSON object, got something else; {do}") from None
        section, *inner = problem["loc"]
        got = "nothing"
        if inner or problem["type"] != "missing":
            got = f"another form of it ({'.'.join(map(str, inner))}: {problem['msg']})".replace("(: ", "(")
        raise IncompleteError(f"{name}: expected the section {section!r}, got {got}; {do}") from None


def _moment(text: str) -> str:
    try:
        if text:
            datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("it is no time") from None
    return text


Moment = Annotated[str, AfterValidator(_moment)]
"""A time as Docker writes it (RFC 3339), "" for none."""


class Space(TypedDict):
    """Free space, and the folder it was found at."""

    free_kb: int
    folder: str


class Address(TypedDict):
    """An address of the host. `mtu` is that of its interface, 0 where nobody can tell."""

    address: str
    interface: str
    mtu: int


class Listener(TypedDict):
    """A TCP port that a program listens on. `program` and `pid` are "" and 0 where nobody can be named."""

    address: str
    port: int
    program: str
    pid: int


class Published(TypedDict):
    """A TCP port that Docker publishes for a container."""

    container: str
    address: str
    port: int


class Machine(TypedDict):
    """The host itself. `links` gives where a folder of the settings leads that is a link."""

    os_release: dict[str, str]
    architecture: str
    uid: int
    init: str
    memory_kb: int
    disk: Space
    images_disk: Space | None
    links: dict[str, str]
    addresses: list[Address]
    route: str
    listening: list[Listener]
    published: list[Published]
    epoch_s: int
    python: str


class Engine(TypedDict):
    """Docker's programs and packages. `running` counts containers, `packages` has the versions of all packages."""

    cli: bool
    server: str
    compose: str
    processes: list[str]
    running: int
    packages: dict[str, str]
    apt_sources: dict[str, str]
    key_sha256: str


class Running(TypedDict):
    """A container that runs, with the folder of its compose project and the stack of its swarm, if it has them."""

    name: str
    folder: str
    stack: str


class DockerConfig(TypedDict):
    """Docker's configuration. `options` are names without values; `containers` is None without an answer."""

    sha256: str
    changing: bool
    options: list[str]
    config_files: list[str]
    runs: bool
    live_restore: bool
    swarm_state: str
    swarm_noted: bool
    remaps_users: bool
    containers: list[Running] | None
    there: int
    root: str
    driver: str
    containerd_store: bool


class Image(TypedDict):
    """What a reference means on the host."""

    id: str
    digests: list[str]


class Network(TypedDict):
    """The stack's network. `in_use` says whether containers of this host are attached."""

    id: str
    driver: str
    subnets: list[str]
    labels: dict[str, str]
    options: dict[str, str]
    in_use: bool


class Probe(TypedDict):
    """The last run of a container's healthcheck."""

    ended_at: Moment
    exit_code: int
    output: str


class Attachment(TypedDict):
    """A container in a network: the network's id, and the container's address in it."""

    id: str
    address: str


class Container(TypedDict):
    """A container. `mounts` has the volume's name, or the host's path, by the path in the container."""

    name: str
    id: str
    image_id: str
    labels: dict[str, str]
    status: str
    health: str
    last_probe: Probe | None
    exit_code: int
    started_at: Moment
    networks: dict[str, Attachment]
    mounts: dict[str, str]


class Outcome(TypedDict):
    """How a job on backups ended (host/outcomes.py). Times are in seconds since 1970; `good_s` is 0 for never."""

    of: str
    set: str
    ended_s: int
    seconds: int
    ok: bool
    said: str
    good_s: int
    counts: dict[str, int]


class History(TypedDict):
    """What runs before this one left: leases, the log's last line, what was cut off, where people's data are.

    `outcomes` are those of jobs on backups, by job.
    """

    leases: list[str]
    deploy: str
    cut_off: str
    migrating: bool
    database: str
    outcomes: dict[str, Outcome]


class Project(TypedDict):
    """The stack's files as wanted. `stale` says what differs of each.

    `mounted` has times by service, None where a file is not as wanted.
    """

    stale: dict[str, Literal["content", "mode", "presence"]]
    refused: str
    hashes: dict[str, str]
    mounted: dict[str, int | None]
    inputs: str


class Stack(TypedDict):
    """What `compose.parse` reads: the stack as it is, and as it is wanted."""

    images: dict[str, Image]
    network: Network | None
    containers: list[Container]
    gateways: dict[str, str]
    project: Project | None


class Member(TypedDict):
    """What the host's own engine says of its swarm."""

    state: str
    id: str
    manages: bool
    address: str
    error: str


class Node(TypedDict):
    """A node as a manager sees it."""

    id: str
    name: str
    role: str
    availability: str
    labels: dict[str, str]
    state: str
    reachable: str
    address: str


class Service(TypedDict):
    """A service of the stack in the swarm, with the number of its tasks and of the nodes they run on."""

    name: str
    definition: str
    running: int
    hosts: int
    wanted: int
    update: str


class Swarm(TypedDict):
    """The host's part of a swarm. `known` and `known_images` are of the last good deploy."""

    member: Member
    nodes: list[Node]
    services: list[Service]
    known: dict[str, str]
    known_images: dict[str, str]


class Difference(TypedDict):
    """A setting that Open WebUI saved with another value than wanted. `seen` tells one saved value from another."""

    key: str
    saved: str
    wanted: str
    seen: str


class Saved(TypedDict):
    """How Open WebUI's saved settings differ from those in `open_webui_saved`; `failed` says why nobody knows."""

    failed: str
    differences: list[Difference]


class Survey(Stack):
    """The whole document. `swarm` is None with topology "compose".

    `saved` is None where no Open WebUI runs, and where `open_webui_saved` names nothing.
    """

    machine: Machine
    engine: Engine
    docker_config: DockerConfig
    units: list[str]
    history: History
    files: dict[str, str]
    swarm: Swarm | None
    saved: Saved | None
