"""Which images a lab gets, how they become a registry's blobs, and what tells of a missing one; without an engine."""

from __future__ import annotations

import hashlib
import io
import json
import re
import runpy
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lab import docker, engine, extras, hosts, images, layers, lifecycle, models, parallel, registry, state, wheels
from lab.errors import LabError
from tests.defaults import DEFAULTS, ROOT
from webui_stack.settings.validation import from_data

MAIN_JOB = ["valkey", "open_webui"]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The images that each `up` asks the registry for; its hosts and services are not made."""
    found: list[list[str]] = []

    def ensure(_lab: str, wanted: list[str]) -> dict[str, str]:
        found.append(list(wanted))
        return {key: f"r/{key}:1.0" for key in wanted}

    monkeypatch.setattr(state, "LABS", tmp_path)
    monkeypatch.setattr(engine, "ensure", lambda _: None)
    monkeypatch.setattr(hosts, "existing", lambda _: [])
    monkeypatch.setattr(hosts, "ensure", lambda *_: [])
    monkeypatch.setattr(models, "ensure", lambda _: {"url": "http://models"})
    monkeypatch.setattr(registry, "ensure", ensure)
    packages = extras.Extra("packages", service=lambda _: {"url": "http://packages"})
    monkeypatch.setitem(extras.EXTRAS, "packages", packages)
    return found


def up(*names: str) -> dict[str, Any]:
    lifecycle.up("a", [1], hosts.Made(), set(names))
    found: dict[str, Any] = json.loads((state.folder("a") / "inventory.json").read_text())
    return found


def test_a_lab_gets_what_the_main_job_needs_and_no_more(asked: list[list[str]]) -> None:
    inventory = up()
    assert asked == [MAIN_JOB]
    assert set(inventory["images"]) == set(MAIN_JOB)
    assert inventory["models"] == {"url": "http://models"}
    assert "packages" not in inventory


def test_extras_join_what_a_lab_has_and_stay(asked: list[list[str]]) -> None:
    assert "packages" in up("postgres", "packages")
    assert asked.pop() == [*MAIN_JOB, "postgres"]
    assert "packages" in up()
    assert asked.pop() == [*MAIN_JOB, "postgres"]
    assert set(up("earlier")["images"]) == {*MAIN_JOB, "postgres", "open_webui_earlier"}


def test_status_says_how_to_get_what_a_lab_lacks() -> None:
    inventory = {"images": {"valkey": "v", "postgres": "p"}, "packages": {}}
    assert extras.present(inventory) == {"postgres", "packages"}
    assert extras.present({}) == set()


def test_every_extra_is_an_image_of_the_registry_or_a_service() -> None:
    for extra in extras.EXTRAS.values():
        assert (extra.image in registry.IMAGES) != bool(extra.service)


def test_with_takes_names_or_all_and_refuses_others() -> None:
    assert extras.parse("") == set()
    assert extras.parse("postgres,caddy") == {"postgres", "caddy"}
    assert extras.parse("all") == set(extras.EXTRAS)
    with pytest.raises(LabError, match=r"^--with: expected postgres, caddy, .* or all, .* got mysql, redis$"):
        extras.parse("redis,postgres,mysql")


@pytest.fixture
def lab_without_extras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone's inventories, beside a lab that was brought up for the main job."""
    folder = tmp_path / ".lab" / "small"
    folder.mkdir(parents=True)
    (tmp_path / "inventories").mkdir()
    for path in (ROOT / "inventories").glob("lab*.py"):
        (tmp_path / "inventories" / path.name).write_text(path.read_text())
    inventory = {
        "hosts": [{"name": "small-1", "http_port": 20000}],
        "images": {"valkey": "r/valkey:8.1.1", "open_webui": "r/open-webui:v0.12.4-slim"},
        "registry": {"host": "registry.lab.test:5000", "ca_file": str(tmp_path / "ca.crt")},
        "models": {"url": "http://models.lab.test/v1"},
        "address_pools": [],
        "tls": {},
    }
    (tmp_path / "ca.crt").write_text("")
    (folder / "inventory.json").write_text(json.dumps(inventory))
    monkeypatch.setenv("LAB_NAME", "small")
    return tmp_path / "inventories"


@pytest.mark.parametrize("name", ["lab_replicas.py", "lab_swarm.py"])
def test_an_inventory_says_what_its_lab_lacks_and_how_to_get_it(lab_without_extras: Path, name: str) -> None:
    with pytest.raises(SystemExit) as refused:
        runpy.run_path(str(lab_without_extras / name))
    assert str(refused.value) == (
        "lab 'small': expected it to have postgres and caddy, got no postgres and no caddy; "
        "run `python -m lab up --name small --with postgres,caddy`"
    )


def test_a_setting_that_wants_an_image_the_lab_lacks_has_the_cure_in_its_name(lab_without_extras: Path) -> None:
    ((_, data),) = runpy.run_path(str(lab_without_extras / "lab.py"))["lab"]
    for setting, name in (("postgres_image", "postgres"), ("proxy_image", "caddy")):
        assert data[setting].endswith(f"-run-python-m-lab-up--with-{name}")
    own = {key: value for key, value in data.items() if key in DEFAULTS}
    # the names are sound: what fails is Docker's pull, which prints them
    from_data({**DEFAULTS, **own, "docker_registry_ca": {}, "docker_address_pools": []})


def tar(entries: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return out.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Stdin:
    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


@pytest.fixture
def blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(layers, "BLOBS", tmp_path)
    return tmp_path


def content(blobs: Path, of: str) -> bytes:
    algorithm, value = of.split(":")
    return (blobs / algorithm / value[:2] / value / "data").read_bytes()


PLAIN, PACKED, CONFIG = b"layer " * 9, b"\x1f\x8bpacked", b'{"rootfs": {"diff_ids": []}, "history": []}'
# Docker 20.10 to 24 name a layer by its place in the image; equal ones are links. From 25 on, OCI's layout.
SAVED = {
    "20.10": tar(
        {
            "1/layer.tar": PLAIN,
            "3/layer.tar": PACKED,
            "c.json": CONFIG,
            "manifest.json": json.dumps(
                [{"Config": "c.json", "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"]}]
            ).encode(),
        },
        {"2/layer.tar": "../1/layer.tar"},
    ),
    "25": tar(
        {
            "blobs/sha256/a": PLAIN,
            "blobs/sha256/c": PACKED,
            "blobs/sha256/b": CONFIG,
            "index.json": b"{}",
            "manifest.json": json.dumps(
                [{"Config": "blobs/sha256/b", "Layers": [f"blobs/sha256/{one}" for one in "aac"]}]
            ).encode(),
        }
    ),
}


@pytest.mark.parametrize("engine_version", SAVED)
def test_a_saved_image_becomes_blobs_by_their_own_digests(
    blobs: Path, monkeypatch: pytest.MonkeyPatch, engine_version: str
) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(SAVED[engine_version]))
    answer = layers.main("image", "key")
    assert answer == layers.main("has")
    manifest = json.loads(answer["key"])
    assert [(one["digest"], one["size"]) for one in manifest["layers"]] == [
        *[(digest(PLAIN), len(PLAIN))] * 2,
        (digest(PACKED), len(PACKED)),
    ]
    assert [one["mediaType"].rpartition("diff")[2] for one in manifest["layers"]] == [".tar", ".tar", ".tar.gzip"]
    assert content(blobs, manifest["config"]["digest"]) == CONFIG
    assert content(blobs, digest(PLAIN)) == PLAIN
    assert content(blobs, digest(answer["key"].encode())) == answer["key"].encode()
    assert {path.name for path in blobs.iterdir()} == {"sha256", "records"}, "something is left over"


def test_an_archive_that_breaks_off_leaves_no_record(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(SAVED["25"][:1500]))
    with pytest.raises((tarfile.ReadError, KeyError)):
        layers.main("image", "key")
    assert layers.main("has") == {}
    assert {path.name for path in blobs.iterdir()} == {"records"}


def test_a_layer_hides_what_its_packages_replace(tmp_path: Path) -> None:
    for name in ("open_webui", "open_webui-0.11.4.dist-info", "mcp-1.0.dist-info"):
        (tmp_path / name).mkdir()
    layers.hide(tmp_path, ["open_webui-0.12.4.dist-info", "mcp-1.0.dist-info"])
    assert (tmp_path / "open_webui" / ".wh..wh..opq").exists()
    assert [path.name for path in tmp_path.glob(".wh.*")] == [".wh.open_webui-0.12.4.dist-info"]


def test_a_registry_finds_a_tag_its_manifest_and_its_blobs() -> None:
    config, layer = "sha256:" + "2" * 64, "sha256:" + "3" * 64
    manifest = json.dumps({"config": {"digest": config}, "layers": [{"digest": layer}]})
    one = digest(manifest.encode())
    links = registry.links(registry.Offered("valkey/valkey", "8.1.1", manifest))
    below = "/var/lib/registry/docker/registry/v2/repositories/valkey/valkey"
    assert links == {
        f"{below}/_manifests/tags/8.1.1/current/link": one.encode(),
        f"{below}/_manifests/revisions/sha256/{one[7:]}/link": one.encode(),
        f"{below}/_layers/sha256/{config[7:]}/link": config.encode(),
        f"{below}/_layers/sha256/{layer[7:]}/link": layer.encode(),
    }


def test_jobs_run_at_the_same_time_and_answer_in_order() -> None:
    met = threading.Barrier(2, timeout=10)

    def job(answer: int) -> int:
        met.wait()
        return answer

    assert parallel.together(lambda: job(1), lambda: job(2)) == [1, 2]


def test_the_first_failure_stops_the_other_jobs_and_is_what_is_raised() -> None:
    stopped = threading.Event()

    def works_until_told() -> None:
        try:
            while True:
                parallel.check()
                time.sleep(0.01)
        except LabError:
            stopped.set()
            raise

    def fails() -> None:
        raise LabError("image: expected bread, got stones")

    with pytest.raises(LabError, match="got stones"):
        parallel.together(lambda: parallel.together(works_until_told), fails)
    assert stopped.is_set()
    parallel.check()  # what is over stops nobody


def test_threads_of_one_command_wait_for_each_other_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    inside: list[str] = []

    def work() -> None:
        with state.lock("unit-test", "Waiting for another lab"):
            inside.append("in")
            time.sleep(0.3)
            inside.append("out")

    parallel.together(work, work)
    assert inside == ["in", "out", "in", "out"]
    assert capsys.readouterr().err == ""


def test_a_failure_ends_the_commands_of_the_other_jobs(tmp_path: Path) -> None:
    started = time.monotonic()

    def fails() -> None:
        raise LabError("image: expected bread, got stones")

    with pytest.raises(LabError, match="got stones"):
        parallel.together(lambda: docker.run_logged(["sleep", "60"], tmp_path / "sleep.log"), fails)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("recipe", ["open-webui", "open-webui-earlier"])
def test_pip_is_fetched_first_by_the_hashes_of_the_lock(tmp_path: Path, recipe: str) -> None:
    requirements = images.RECIPES / recipe / "requirements.txt"
    found = wheels._only_pip(requirements, tmp_path / "wheels").read_text().splitlines()
    assert re.fullmatch(r"pip==[0-9.]+ \\", found[0])
    assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}(?: \\)?", line) for line in found[1:])
    assert len(found) > 1
    assert set(found) <= set(requirements.read_text().splitlines())
