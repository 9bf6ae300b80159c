"""A lock file is followed by the commands a deploy runs; what can't be followed is refused."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests import surveys
from tests.plan.conftest import LAB_SETTINGS, Pyinfra, Run, answering, converged, fresh
from tests.unit.artifacts.test_bundle import pack
from webui_stack.artifacts import bundle
from webui_stack.model import docker, lock
from webui_stack.model.lock import Image, Lock
from webui_stack.render import host_program

VALKEY, WEBUI = (str(LAB_SETTINGS[name]) for name in ("valkey_image", "open_webui_image"))
# As in tests/fixtures/compose/observe-2.26.1.json
IDS = {
    VALKEY: "sha256:5721201e782ae3f5a10c58bc11008232acf277e39d508e2288efe7a668a2d681",
    WEBUI: "sha256:257b8c7ec06895229a6fd749d7b5b95f71eae5be4c663d2f8e8ae49e76b9b896",
}
DIGESTS = {VALKEY: "sha256:" + "a" * 64, WEBUI: "sha256:" + "b" * 64}
DISTRO = docker.parse(surveys.DEPLOYED["engine"]).family
CE = ["docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin"]
LOCK = Lock(
    images={name: Image(digest=DIGESTS[name], ids={"amd64": [IDS[name]]}) for name in IDS},
    packages={
        "debian-13-amd64": DISTRO,
        "rhel-9-amd64": dict.fromkeys(CE, "3:27.0-1.el9"),
    },
)
Held = dict[str, dict[str, str]]
NONE: Held = {name: {"tagged": "", "locked": ""} for name in IDS}
HAS_ALL: Held = {name: {"tagged": id_, "locked": id_} for name, id_ in IDS.items()}
Running = dict[str, dict[str, Any]]
RUNS_ALL: Running = {
    name: {"id": id_, "architecture": "amd64", "digests": [f"{lock.repository_of(name)}@{DIGESTS[name]}"]}
    for name, id_ in IDS.items()
}


def holding(host: dict[str, Any], held: Held | None = HAS_ALL, running: Running = RUNS_ALL) -> dict[str, Any]:
    """The host, with these images; None while it has no Docker."""
    tagged = {reference: one["tagged"] for reference, one in (held or {}).items() if one["tagged"]}
    host = answering(host, images={reference: {"id": id_, "digests": []} for reference, id_ in tagged.items()})
    digest = host_program.digest()
    answers = {f"{digest} images": surveys.printed(held), f"{digest} running_images": surveys.printed(running)}
    return {**host, "fake_responses": {**answers, **host["fake_responses"]}}


def with_runc(version: str) -> dict[str, Any]:
    """A deployed host with this version of runc."""
    return answering(converged(), engine={"packages": {**surveys.DEPLOYED["engine"]["packages"], "runc": version}})


RUNC_2 = f"package runc: expected the locked {DISTRO['runc']}, got 2"


@pytest.fixture(scope="module")
def lock_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lock") / "hosts.lock.toml"
    path.write_text(lock.render(LOCK))
    return path


def locked(run: Pyinfra, hosts: dict[str, dict[str, Any]], file: Path, *arguments: str) -> Run:
    return run(hosts, "--data", f"lock_file={file}", *arguments)


def test_a_lock_that_says_what_is_there_changes_nothing(pyinfra: Pyinfra, lock_file: Path) -> None:
    result = locked(pyinfra, {"same": holding(converged())}, lock_file, "--json")
    assert result.changes("same") == []
    assert "Stack | Pull the locked images" in [operation["name"] for operation in result.plan]


def test_an_image_that_moved_is_tagged_back_and_its_service_recreated(pyinfra: Pyinfra, lock_file: Path) -> None:
    other = "sha256:" + "c" * 64
    hosts = {
        # Somebody pulled the tag anew; containers are still of the locked one.
        "retagged": holding(converged(), {**HAS_ALL, VALKEY: {"tagged": other, "locked": IDS[VALKEY]}}),
        # The containers run something the lock does not have.
        "other": holding(converged(), {name: {"tagged": other, "locked": ""} for name in IDS}),
    }
    result = locked(pyinfra, hosts, lock_file, "--json")
    assert result.changes("retagged") == ["Stack | Pull the locked images"]
    assert result.changes("other") == ["Stack | Pull the locked images", "Stack | Bring the services up"]


def test_all_that_a_host_lacks_comes_by_one_call_of_its_program(pyinfra: Pyinfra, lock_file: Path) -> None:
    result = locked(pyinfra, {"other": holding(converged(verify_timeout_s=1), NONE)}, lock_file, "-y", "-vvv")
    assert result.said("other").count("called the verb pull") == 1
    assert not [command for command in result.executed("other") if "docker pull" in command]


def test_a_host_that_does_not_say_which_images_it_has_drops_out(pyinfra: Pyinfra, lock_file: Path) -> None:
    some = {name: holding(converged(verify_timeout_s=1), NONE) for name in ("silent", "lacking")}
    some["silent"]["fake_responses"][f"{host_program.digest()} images"] = "python\n"
    result = locked(pyinfra, some, lock_file, "-y", "-vvv")
    assert result.status == 1
    assert "answer of the host: expected a result, got the end of the output; run it again" in result.output
    brought_up = [name for name in some if "called the verb up" in result.said(name)]
    assert brought_up == ["lacking"]


@pytest.fixture(scope="module")
def installed(pyinfra: Pyinfra, lock_file: Path) -> Run:
    hosts = {
        "fresh": holding(fresh(docker_source="distro", **images()), None, {}),
        "rhel": holding(fresh("rhel-9", **images()), None, {}),
        "unknown": holding(fresh("ubuntu-24.04", docker_source="distro", **images()), None, {}),
    }
    return locked(pyinfra, hosts, lock_file, "-y", "-vvv")


def images() -> dict[str, str]:
    return {"valkey_image": VALKEY, "open_webui_image": WEBUI}


def test_a_fresh_host_installs_the_locked_versions(installed: Run) -> None:
    (apt,) = [command for command in installed.executed("fresh") if " install " in command]
    names = ["docker.io", "containerd", "runc", "docker-cli", "docker-compose"]
    assert shlex.split(apt)[-5:] == [f"{name}={DISTRO[name]}" for name in names]
    (dnf,) = [command for command in installed.executed("rhel") if command.startswith("dnf install")]
    assert "docker-ce-3:27.0-1.el9 docker-ce-cli-3:27.0-1.el9" in dnf


def test_a_host_the_lock_has_no_packages_for_is_refused_untouched(installed: Run) -> None:
    assert (
        "lock: expected versions of docker-compose-v2, docker.io for ubuntu-24.04-amd64, got none; deploy one such "
        "host without the lock file and run runbooks/lock.py" in installed.said("unknown")
    )
    assert not [command for command in installed.executed("unknown") if " install " in command or "mkdir" in command]


def test_an_installed_package_of_another_version_is_told_and_kept(pyinfra: Pyinfra, lock_file: Path) -> None:
    result = locked(pyinfra, {"drifted": holding(with_runc("2"))}, lock_file, "--json")
    assert [line for line in result.said("drifted") if line.startswith(RUNC_2)]
    assert result.changes("drifted") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (lock.render(Lock(images={VALKEY: LOCK.images[VALKEY]})), f"expected the image {WEBUI}, got none"),
        ("[images", "hosts.lock.toml: expected TOML"),
        (None, "got no such file; run runbooks/lock.py"),
    ],
)
def test_a_lock_that_can_not_be_followed_stops_before_any_host(
    pyinfra: Pyinfra, tmp_path: Path, text: str | None, problem: str
) -> None:
    file = tmp_path / "hosts.lock.toml"
    if text is not None:
        file.write_text(text)
    result = locked(pyinfra, {"same": holding(converged())}, file, "-y", "-vvv")
    assert result.status == 2
    assert problem in result.output
    assert "nothing was changed" in result.output
    assert result.executed("same") == []


def test_an_empty_name_follows_no_lock(pyinfra: Pyinfra) -> None:
    result = pyinfra({"same": converged()}, "--data", "lock_file=", "--json")
    assert result.changes("same") == []
    assert "Stack | Pull the images" in [operation["name"] for operation in result.plan]


# --- Written ----------------------------------------------------------------------------------------


def test_locking_writes_what_runs_and_then_has_nothing_to_say(pyinfra: Pyinfra, tmp_path: Path) -> None:
    file = tmp_path / "x.lock.toml"
    hosts = {name: holding(converged()) for name in ("a", "b")}
    arguments = ("--data", f"lock_file={file}")

    dry = pyinfra(hosts, *arguments, "--dry", deploy="runbooks/lock.py")
    assert dry.status == 0
    assert dry.output.count(f"would write {file}") >= 1
    assert not file.exists()

    wrote = pyinfra(hosts, *arguments, "-y", deploy="runbooks/lock.py")
    assert wrote.status == 0
    assert wrote.output.count(f"wrote {file}") == 1
    written = lock.parse(file.read_text(), "")
    assert written == Lock(images=LOCK.images, packages={"debian-13-amd64": DISTRO})

    again = pyinfra(hosts, *arguments, "-y", deploy="runbooks/lock.py")
    assert f"{file} says so already" in again.output


def test_hosts_that_run_different_images_are_not_locked(pyinfra: Pyinfra, tmp_path: Path) -> None:
    file = tmp_path / "x.lock.toml"
    others = json.loads(json.dumps(RUNS_ALL).replace("a" * 64, "d" * 64))
    hosts = {"a": holding(converged()), "b": holding(converged(), running=others)}
    result = pyinfra(hosts, "--data", f"lock_file={file}", "-y", deploy="runbooks/lock.py")
    assert result.status == 1
    assert f"{DIGESTS[VALKEY]} on @fake/a" in result.output
    assert "on @fake/b; bring them to the same" in result.output
    assert not file.exists()


def test_a_bundle_is_made_of_one_host_and_a_lock(pyinfra: Pyinfra, lock_file: Path, tmp_path: Path) -> None:
    hosts = {name: holding(converged()) for name in ("a", "b")}
    two = pyinfra(hosts, "--data", f"lock_file={lock_file}", "-y", deploy="runbooks/bundle.py")
    assert two.status == 2
    assert "expected one host to take images and packages from, got 2; name it with --limit HOST" in two.output
    limit = ("--limit", "@fake/a", "-y")
    none = pyinfra(hosts, "--data", f"lock_file={tmp_path / 'none'}", *limit, deploy="runbooks/bundle.py")
    assert none.status == 2
    assert f"none: expected the image {VALKEY}, got none; run runbooks/lock.py" in none.output


def test_a_host_that_does_not_run_what_is_locked_makes_no_bundle(pyinfra: Pyinfra, lock_file: Path) -> None:
    hosts = {"a": holding(with_runc("2"), NONE)}
    result = pyinfra(hosts, "--data", f"lock_file={lock_file}", "-y", deploy="runbooks/bundle.py")
    assert result.status == 1
    assert f"image {VALKEY}: expected the locked {DIGESTS[VALKEY]}, got none" in result.output
    assert RUNC_2 in result.output


# --- From a bundle ----------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    parts = {bundle.image_part(id_): b"image" for id_ in IDS.values()}
    parts[bundle.packages_part("debian-13-amd64")] = b"debs"
    return pack(tmp_path / "x.tar", {"lock.toml": lock.render(LOCK).encode(), **parts})


def bundled(run: Pyinfra, hosts: dict[str, dict[str, Any]], file: Path, *arguments: str) -> Run:
    return run(hosts, "--data", "image_source=bundle", "--data", f"bundle_file={file}", *arguments)


def test_a_bundle_needs_no_registry_no_mirror_and_nothing_twice(pyinfra: Pyinfra, archive: Path) -> None:
    hosts = {
        "same": holding(converged()),
        "fresh": holding(fresh(docker_source="distro", **images()), None, {}),
        "ce": holding(fresh(**images()), None, {}),
    }
    result = bundled(pyinfra, hosts, archive, "--json")
    assert result.changes("same") == []
    changes = result.changes("fresh")
    assert {"Docker | Install Docker from the bundle", "Stack | Load the images"} <= set(changes)
    for name in ("Fetch Docker's repository key", "Install Docker", "Pull"):
        assert not [one for one in changes + result.changes("ce") if one.endswith(name)], name


def test_a_bundle_that_does_not_fit_refuses_its_host_alone(pyinfra: Pyinfra, archive: Path) -> None:
    hosts = {
        "arm": holding(fresh(architecture="aarch64", docker_source="distro", **images()), None, {}),
        "rhel": holding(fresh("rhel-9", **images()), None, {}),
        "same": holding(converged()),
    }
    result = bundled(pyinfra, hosts, archive, "--dry")
    assert [line for line in result.said("arm") if f"expected the image {VALKEY} for arm64, got it for amd64" in line]
    assert [line for line in result.said("rhel") if "expected Docker's packages for rhel-9-amd64" in line]
    assert not [line for line in result.said("same") if "would stop here" in line]


def test_a_corrupt_bundle_stops_before_any_host(pyinfra: Pyinfra, archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[data.index(b"debs")] ^= 1
    archive.write_bytes(data)
    result = bundled(pyinfra, {"same": holding(converged())}, archive, "-y", "-vvv")
    assert result.status == 2
    assert "bundle x.tar, packages/debian-13-amd64.tar: expected SHA-256" in result.output
    assert result.executed("same") == []


def test_packages_that_the_lock_file_names_are_installed(pyinfra: Pyinfra, archive: Path) -> None:
    file = archive.with_name("hosts.lock.toml")
    file.write_text(lock.render(lock.with_archive(LOCK, "debian-13-amd64", hashlib.sha256(b"debs").hexdigest())))
    hosts = {"fresh": holding(fresh(docker_source="distro", **images()), None, {})}
    result = bundled(pyinfra, hosts, archive, "--json", "--data", f"lock_file={file}")
    assert not [line for line in result.said("fresh") if "would stop here" in line]
    assert "Docker | Install Docker from the bundle" in result.changes("fresh")


def test_an_older_bundle_than_the_lock_file_is_refused(pyinfra: Pyinfra, archive: Path, lock_file: Path) -> None:
    newer = archive.with_name("hosts.lock.toml")
    newer.write_text(lock_file.read_text().replace("a" * 64, "d" * 64))
    data = ("--data", f"lock_file={newer}")
    result = bundled(pyinfra, {"same": holding(converged())}, archive, "-y", *data)
    assert result.status == 2
    assert f"expected the image {VALKEY} as in hosts.lock.toml, got another; make the bundle again" in result.output


def test_a_bundle_of_somebody_else_brings_no_image_that_the_lock_file_does_not_name(
    pyinfra: Pyinfra, tmp_path: Path, lock_file: Path
) -> None:
    # The same references and digests, but other images behind them.
    theirs = LOCK.model_copy(
        update={"images": {n: Image(digest=DIGESTS[n], ids={"amd64": ["sha256:" + "e" * 64]}) for n in IDS}}
    )
    parts = {bundle.image_part("sha256:" + "e" * 64): b"image", bundle.packages_part("debian-13-amd64"): b"debs"}
    file = pack(tmp_path / "x.tar", {"lock.toml": lock.render(theirs).encode(), **parts})
    hosts = {"fresh": holding(fresh(docker_source="distro", **images()), None, {})}
    result = bundled(pyinfra, hosts, file, "--dry", "--data", f"lock_file={lock_file}")
    said = "\n".join(result.said("fresh"))
    assert f"bundle x.tar: expected the image {VALKEY} for amd64, got none" in said
    assert "expected the packages for debian-13-amd64 that hosts.lock.toml names (no such entry)" in said
    assert result.status == 1
