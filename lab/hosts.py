"""The hosts of a lab: containers that boot systemd and answer ssh like a small virtual machine."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import docker, images, keys, network, snapshots, state
from lab.errors import LabError
from lab.progress import say, step, warn

USER = "ops"
USER_ID = 1000
SHARED_DIR = "/srv/shared"
"""In each host the same folder, as if a file server's were mounted there."""
_IMAGES_DIR = "/var/lib/containerd"
_READY_TIMEOUT_S = 120
_STOP_TIMEOUT_S = 60
_HOST_LABEL = f"{docker.LABEL}.host"
_DEBIAN_LABEL = f"{docker.LABEL}.debian"
_INIT_LABEL = f"{docker.LABEL}.init"
_ENGINE_LABEL = f"{docker.LABEL}.engine"


@dataclass(frozen=True)
class Host:
    """One host as its container describes it."""

    name: str
    container: str
    debian: str
    init: str
    engine: str
    running: bool
    started_before: bool
    address: str
    ssh_port: int
    http_port: int
    https_port: int | None
    """None: the host was made by a lab that did not publish it, and had no shared folder either."""

    def __str__(self) -> str:
        return f"Debian {self.debian}, init {self.init}, engine {self.engine}"


@dataclass(frozen=True)
class Made:
    """How a host is made: its Debian release and init, with python3 or without, or out of one saved under a key.

    `engine` is the Docker that its apt offers: "distro", the release's own, or "newer", the newest in Debian's archive.
    """

    debian: str = "13"
    init: str = "systemd"
    python: bool = True
    saved: str = ""
    engine: str = "distro"


def name_of(lab: str, number: int) -> str:
    return f"{'lab' if lab == 'default' else lab}-{number}"


def existing(lab: str) -> list[Host]:
    """The lab's hosts, running or not, in the order of their numbers."""
    found = docker.containers(f"label={docker.LABEL}={lab}", f"label={_HOST_LABEL}")
    return sorted((_from_container(one) for one in found), key=lambda host: int(host.name.rsplit("-", 1)[1]))


def ensure(lab: str, numbers: Iterable[int], made: Made) -> list[Host]:
    """Ensure the lab has the hosts of these numbers, all its hosts running and ready, and return them all.

    Makes missing ones as `made` says, starts stopped ones, leaves the others alone. Fails with the host's
    last words if one is not ready within 120 s.
    """
    present = {host.name: host for host in existing(lab)}
    missing = [number for number in numbers if name_of(lab, number) not in present]
    if missing:
        base = images.host(made.debian, lab, made.python, made.engine)
        image = snapshots.image(made.saved) if made.saved else base
        flags = _privileges(lab, base)
        for number in missing:
            with step(f"Create host {name_of(lab, number)} ({made.saved or f'Debian {made.debian}'})"):
                data = snapshots.copy_data(lab, base, made.saved, flags) if made.saved else ""
                _create(lab, number, made, image, flags, data)
    for host in existing(lab):
        if host.name in present and (host.debian, host.init, host.engine) != (made.debian, made.init, made.engine):
            say(f"{host.name} stays as it is: {host}")
        if host.https_port is None:
            say(f"{host.name} stays as it is: without port 443 and {SHARED_DIR}; down and up makes it anew")
        if not host.running:
            _start(lab, host)
    ready = existing(lab)
    write_known_hosts(lab, ready)
    for host in ready:
        wait_until_ready(lab, host)
    return ready


def save(lab: str, host: Host, key: str) -> None:
    """Save a running host under a key; it is stopped meanwhile, so that its files are whole, and ready again."""
    if host.engine != "distro":
        raise LabError(f"HOST: expected one with its release's own engine, got {host.name} ({host}); save another")
    base = images.host(host.debian, lab, python=True)  # any host's will do
    flags = _privileges(lab, base)
    with step(f"Save {host.name} as {key}"):
        docker.run("stop", f"--time={_STOP_TIMEOUT_S}", host.container)
        try:
            snapshots.save(lab, base, host.container, key, flags)
        finally:
            docker.run("start", host.container)
    wait_until_ready(lab, host)


def write_known_hosts(lab: str, hosts: list[Host]) -> None:
    """Ensure known_hosts and ssh_config name these hosts' keys and ports, before any first contact."""
    folder = state.folder(lab)
    known, config = "", ""
    for host in hosts:
        public = keys.ensure_ssh_key(_host_key(lab, host.name), host.name)
        known += f"[127.0.0.1]:{host.ssh_port} {' '.join(public.split()[:2])}\n"
        config += (
            f"Host {host.name}\n"
            "    HostName 127.0.0.1\n"
            f"    Port {host.ssh_port}\n"
            f"    User {USER}\n"
            f'    IdentityFile "{folder / "id_ed25519"}"\n'
            "    IdentitiesOnly yes\n"
            f'    UserKnownHostsFile "{folder / "known_hosts"}"\n'
            "    StrictHostKeyChecking yes\n\n"
        )
    state.write(folder / "known_hosts", known.encode())
    state.write(folder / "ssh_config", config.encode())


def ssh_command(lab: str, host: str, *command: str) -> list[str]:
    return ["ssh", "-F", str(state.folder(lab) / "ssh_config"), host, *command]


def wait_until_ready(lab: str, host: Host) -> None:
    """Ensure ssh answers with the right host key and systemd (if any) is running or degraded."""
    question = "systemctl is-system-running" if host.init == "systemd" else "echo running"
    deadline = time.monotonic() + _READY_TIMEOUT_S
    answer = "nothing"
    with step(f"Wait for {host.name} to be ready") as current:
        while time.monotonic() < deadline:
            command = ssh_command(lab, host.name, question)
            command[1:1] = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
            answer = done.stdout.strip() or done.stderr.strip() or "nothing"
            if answer in ("running", "degraded"):
                current.detail = answer
                return
            if not _is_running(host):
                answer = "its container ended"
                break
            time.sleep(0.3)
    _, out, err = docker.try_run("logs", "--tail", "20", host.container)
    raise LabError(
        f"{host.name}: expected `{question}` over ssh to say running or degraded within {_READY_TIMEOUT_S} s, "
        f"got {answer!r}, look into its log: docker logs {host.container}\n{out}{err}"
    )


def _create(lab: str, number: int, made: Made, image: str, flags: list[str], data: str) -> None:
    name = name_of(lab, number)
    container = f"open-webui-lab-{lab}-host-{number}"
    newer = made.engine == "newer"
    # before the container: where one exists, its key does, too
    keys.ensure_ssh_key(_host_key(lab, name), name)
    with state.lock("addresses", "Waiting for another lab that is choosing addresses"):
        subnet = network.ensure(lab)
        ssh_port, http_port, https_port = network.free_ports(3)
        docker.run(
            "create",
            f"--name={container}",
            f"--hostname={name}",
            f"--label={docker.LABEL}={lab}",
            f"--label={_HOST_LABEL}={name}",
            f"--label={_DEBIAN_LABEL}={made.debian}",
            f"--label={_INIT_LABEL}={made.init}",
            f"--label={_ENGINE_LABEL}={made.engine}",
            f"--network={network.name_of(lab)}",
            # hosts find each other by name
            f"--network-alias={name}",
            f"--ip={subnet[network.HOST_OFFSET + number]}",
            f"--publish=127.0.0.1:{ssh_port}:22",
            f"--publish=127.0.0.1:{http_port}:3000",
            f"--publish=127.0.0.1:{https_port}:443",
            "--env=container=docker",
            "--tmpfs=/run:exec,mode=755",
            "--tmpfs=/run/lock",
            "--tmpfs=/tmp:exec,mode=1777",
            f"--mount=type=volume,destination=/var/lib/docker,volume-label={docker.LABEL}={lab}"
            + (f",source={data}" if data else ""),
            # Where containerd keeps images: it can't unpack a layer on the overlay that a container's own files are on.
            *([f"--mount=type=volume,destination={_IMAGES_DIR},volume-label={docker.LABEL}={lab}"] if newer else []),
            f"--mount=type=volume,source={_shared_volume(lab)},destination={SHARED_DIR},"
            f"volume-label={docker.LABEL}={lab}",
            "--cgroupns=private",
            # As on a machine that is no router. The host's own Docker switches it on, and only when it finds it off
            # it drops what others want forwarded (moby, libnetwork/drivers/bridge/setup_ip_forwarding.go, 26.1).
            "--sysctl=net.ipv4.ip_forward=0",
            *flags,
            image,
            made.init,
        )
    _start(lab, _from_container(docker.inspect("container", [container])[0]))


def _start(lab: str, host: Host) -> None:
    """Give the host its identity (again: a killed `up` may not have) and start it."""
    own = _host_key(lab, host.name)
    keys.ensure_ssh_key(own, host.name)
    operator = keys.ensure_ssh_key(state.folder(lab) / "id_ed25519", f"lab {lab}")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        if not host.started_before:
            # one of its own for each host: an image that was saved from a host has that host's
            _add(tar, "etc/machine-id", f"{uuid.uuid4().hex}\n".encode(), 0o444, 0)
        _add(tar, "etc/ssh/ssh_host_ed25519_key", own.read_bytes(), 0o600, 0)
        _add(tar, "etc/ssh/ssh_host_ed25519_key.pub", Path(f"{own}.pub").read_bytes(), 0o644, 0)
        _add(tar, f"home/{USER}/.ssh/authorized_keys", f"{operator}\n".encode(), 0o600, USER_ID)
    docker.run("cp", "--archive", "-", f"{host.container}:/", stdin=archive.getvalue())
    docker.run("start", host.container)


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int, owner: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.uid, entry.gid, entry.mtime = (
        len(content),
        mode,
        owner,
        owner,
        int(time.time()),
    )
    tar.addfile(entry, io.BytesIO(content))


def _privileges(lab: str, image: str) -> list[str]:
    """Flags that let systemd and an inner Docker work: `--privileged`, or its parts where that fails.

    `--privileged` asks for every capability of the kernel; a machine that itself lacks one
    (a container or a sandbox) cannot give it. There all the others are asked for by name.
    """
    probe = ["run", "--rm", f"--label={docker.LABEL}={lab}", "--network=none", "--entrypoint=/bin/true"]
    status, _, error = docker.try_run(*probe, "--privileged", image)
    if status == 0:
        return ["--privileged"]
    flags = [
        "--cap-add=ALL",
        *[f"--cap-drop={name}" for name in _lacking_capabilities()],
        "--security-opt=seccomp=unconfined",
        "--security-opt=apparmor=unconfined",
        "--security-opt=systempaths=unconfined",
        "--device-cgroup-rule=a *:* rwm",
    ]
    status, _, second_error = docker.try_run(*probe, *flags, image)
    if status:
        raise LabError(
            "host privileges: expected the engine to run a container with --privileged, or with every "
            f"capability this machine has, got\n{error.strip()}\n{second_error.strip()}\n"
            "use an engine that may (rootful, not inside an unprivileged container)"
        )
    warn("--privileged does not work here; hosts get every capability but " + ", ".join(_lacking_capabilities()))
    return flags


def _lacking_capabilities() -> list[str]:
    """Capabilities outside this process's bounding set (capabilities(7)), up to the kernel's last one."""
    try:
        bounding = int(_field(Path("/proc/self/status").read_text(), "CapBnd"), 16)
        last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    except FileNotFoundError:
        return []
    return [_CAPABILITIES[bit] for bit in range(min(last + 1, len(_CAPABILITIES))) if not bounding >> bit & 1]


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}:\s*(\S+)", text, re.MULTILINE)
    if not found:
        raise LabError(f"/proc/self/status: expected a field {name}, got none")
    return found.group(1)


def _is_running(host: Host) -> bool:
    return bool(docker.inspect("container", [host.container])[0]["State"]["Running"])


def _shared_volume(lab: str) -> str:
    return f"open-webui-lab-{lab}-shared"


def _host_key(lab: str, host: str) -> Path:
    return state.folder(lab) / "host_keys" / host


def _from_container(container: dict[str, Any]) -> Host:
    labels = container["Config"]["Labels"]
    ports = container["HostConfig"]["PortBindings"]
    (endpoint,) = container["NetworkSettings"]["Networks"].values()
    return Host(
        name=labels[_HOST_LABEL],
        container=container["Name"].lstrip("/"),
        debian=labels[_DEBIAN_LABEL],
        init=labels[_INIT_LABEL],
        engine=labels.get(_ENGINE_LABEL, "distro"),
        running=container["State"]["Running"],
        # the engine's way to say never (Go's zero time)
        started_before=not container["State"]["StartedAt"].startswith("0001-"),
        address=endpoint["IPAMConfig"]["IPv4Address"],
        ssh_port=int(ports["22/tcp"][0]["HostPort"]),
        http_port=int(ports["3000/tcp"][0]["HostPort"]),
        https_port=int(ports["443/tcp"][0]["HostPort"]) if "443/tcp" in ports else None,
    )


# linux/capability.h, in the order of their bits
_CAPABILITIES = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
]  # fmt: skip
