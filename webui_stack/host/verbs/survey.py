"""Survey: all that a run wants to know of a host, in one document. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .. import compose, digits, dockerd, history, machine, managed, packages, secrets, stack, swarm, units
from ..clock import Clock
from ..engine import Engine, Info, Listed, Unavailable
from ..files import Files
from ..outcomes import Outcomes
from ..records import dataclass, field
from ..system import System, require_root
from ..typed import Any

_DAEMONS = ("dockerd", "containerd")
# The first letters of a container's own process, as far as the kernel keeps a name (proc(5), comm).
_SHIM = "containerd-shim"


@dataclass(frozen=True)
class Project:
    """The stack as it is wanted on this host.

    `file` is what compose or the swarm is given, `older_file` the same for an engine below `newer_engine`, a major
    version; `overlay` is merged over either, "" for none. `mounted` has the SHA-256 of the files that each service
    reads at its start, by path; users.acl is added to `with_acl`.
    """

    secrets: Mapping[str, Any]
    file: str
    older_file: str
    newer_engine: int
    mounted: Mapping[str, Mapping[str, str]]
    with_acl: str
    overlay: str = ""


@dataclass(frozen=True)
class Request:
    """What the operator's side asks: names of what may be on the host, and the stack as it is wanted there.

    `data_root` is the setting, "" for none. `swarm` is "" where there is a stack for each host, else the stack's name.
    `saved` are values that Open WebUI is to have saved, by key: empty where it is not asked for any.
    """

    stack_dir: str
    backup_dir: str
    data_root: str
    images: Sequence[str]
    containers: Sequence[str]
    network: str
    gateway: str
    units: Sequence[str]
    paths: Sequence[str]
    apt_key: str
    lease_files: Sequence[str]
    deploy_log: str
    sqlite_volume: str
    postgres_volume: str
    swarm: str = ""
    project: Project | None = None
    open_webui: str = ""
    saved: Mapping[str, Any] = field(default_factory=dict, repr=False)


def run(arguments: Mapping[str, Any], _emit: Callable[[Any], None]) -> dict[str, Any]:
    """The document of this host; `arguments` are those of `Request`."""
    require_root()
    project = arguments.get("project")
    request = Request(**{**arguments, "project": Project(**project) if project else None})
    system = System()
    return look(request, system, dockerd.engine(system), Files())


def look(asked: Request, system: System, engine: Engine, files: Files) -> dict[str, Any]:
    """The document. Docker that does not answer is a state of the host; another question that fails raises."""
    for question in (units.question(system, asked.units), packages.question(system), machine.ADDRESSES):
        if question and system.has(question[0]):
            system.ahead(*question)  # these programs are at work while Docker is asked
    info, running = _answers(engine)
    root = info.root if info else dockerd.root(system, asked.data_root)
    noted = info is None and dockerd.notes_a_swarm(system, root)
    good = f"{asked.stack_dir}/.good"
    known = compose.known(system, good)
    comms = [system.text(f"/proc/{name}/comm").strip() for name in system.names("/proc") if digits.whole(name)]
    has_cli = system.has("docker")
    version = (known.version or compose.version(system)) if has_cli else ""
    there: tuple[Any, list[str]] = stack.network(engine, asked.network) if info else (None, [])
    images = stack.images(engine, asked.images) if info else {}
    containers = stack.containers(engine, _containers(asked, engine, there[1], running)) if info else []
    gateways = stack.gateways(engine, asked.gateway) if info and asked.swarm else {}
    known_units = units.look(system, asked.units)
    docker_unit = known_units.get(dockerd.UNIT, {})
    return {
        "machine": {
            **machine.look(
                system,
                stack_dir=asked.stack_dir,
                backup_dir=asked.backup_dir,
                docker_root=root,
                images_are_containerds=bool(info and info.containerd_store),
            ),
            "published": stack.published(running or ()),
        },
        "engine": {
            "cli": has_cli,
            "server": info.version if info else "",
            "compose": version,
            "processes": sorted(set(comms) & set(_DAEMONS)),
            "running": sum(comm.startswith(_SHIM) for comm in comms),
            "packages": packages.installed(system),
            "apt_sources": packages.apt_sources(system),
            "key_sha256": managed.sha256(system, asked.apt_key),
        },
        "docker_config": {
            **dockerd.look(system, docker_unit),
            **stack.configuration(info, running),
            "swarm_noted": noted,
        },
        "images": images,
        "network": there[0],
        "containers": containers,
        "gateways": gateways,
        "units": units.on(known_units),
        "history": {
            **history.look(system, asked.stack_dir, lease_files=asked.lease_files, deploy_log=asked.deploy_log),
            "database": history.database(
                system,
                engine,
                stack_dir=asked.stack_dir,
                docker_root=root,
                sqlite_volume=asked.sqlite_volume,
                postgres_volume=asked.postgres_volume,
            ),
            "outcomes": Outcomes(files, Clock(), asked.stack_dir).all(),
        },
        "files": managed.contents(system, asked.paths),
        "project": _project(asked, asked.project, system, engine, files, info, known, version)
        if asked.project
        else None,
        "swarm": {
            **swarm.look(system, engine, info, stack=asked.swarm, with_services=asked.project is not None, noted=noted),
            **swarm.remembered(system, good),
        }
        if asked.swarm
        else None,
        "saved": _saved(engine, asked) if info and asked.saved else None,
    }


def _saved(engine: Engine, asked: Request) -> Any:
    from .. import open_webui  # it loads as much as all of a survey's other modules

    return open_webui.differing(engine, asked.open_webui, asked.saved)


def _answers(engine: Engine) -> tuple[Info | None, Sequence[Listed] | None]:
    """What the engine says of itself, and what runs; None twice where it gives no answer at all."""
    try:
        info = engine.info()
    except Unavailable:
        return None, None
    return info, engine.running()


def _containers(
    asked: Request, engine: Engine, in_network: Sequence[str], running: Sequence[Listed] | None
) -> list[str]:
    """The containers to look at; those of the overlay are told by their labels, whatever settings made them."""
    of_overlay = [] if asked.swarm else stack.overlays(engine.listed(), asked.stack_dir)
    return [*asked.containers, *of_overlay, *in_network, *_of_swarm(asked, running)]


def _of_swarm(asked: Request, running: Sequence[Listed] | None) -> list[str]:
    if not asked.swarm:
        return []
    return [one.name for one in running or () if one.labels.get(stack.STACK_LABEL) == asked.swarm]


def _project(
    asked: Request,
    wanted: Project,
    system: System,
    engine: Engine,
    files: Files,
    info: Info | None,
    known: compose.Known,
    version: str,
) -> dict[str, Any]:
    """How what is on the host differs from the stack as it is wanted."""
    state = secrets.look(files, engine, secrets.wish(wanted.secrets))
    if state.refused:
        return {"stale": {}, "refused": state.refused, "hashes": {}, "mounted": {}, "inputs": ""}
    major = digits.whole(info.version.partition(".")[0]) if info else None
    file = wanted.older_file if major is not None and major < wanted.newer_engine else wanted.file
    key = compose.key(file + wanted.overlay, state.env)
    hashes: Mapping[str, str] = {}
    if not asked.swarm and key == known.key:
        hashes = known.hashes
    elif not asked.swarm and version:
        hashes = compose.hashes(system, asked.stack_dir, file, state.env, wanted.overlay)
    mounted = {}
    for service, sums in wanted.mounted.items():
        if service == wanted.with_acl:
            sums = {**sums, f"{asked.stack_dir}/valkey/users.acl": secrets.sha256(f"{state.acl}\n")}
        mounted[service] = managed.newest_s(system, sums)
    return {
        "stale": dict(state.stale),
        "refused": "",
        "hashes": dict(hashes),
        "mounted": mounted,
        "inputs": key.partition(" ")[0] if asked.swarm else "",
    }
