"""What was deployed, to the byte: image digests and Docker's package versions, as a file beside the inventory. Pure."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from webui_stack.documents import document
from webui_stack.model import compose, docker
from webui_stack.model.machine import Machine

_HOW = "run runbooks/lock.py"
_HEADER = """\
# Written by runbooks/lock.py. Deploys of this inventory use exactly these images and, where Docker is missing, these
# packages. Run it again to accept what runs now; remove this file to be free again.
"""
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.+:~^_-]+$")]


class LockError(Exception):
    """Why there is no lock to be had from a text, or from what hosts run; a line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Image(_Model):
    """One image: the digest registries serve it by, and the ids it has on hosts, by architecture.

    An architecture may have two: in Docker's own store an id is the digest of the image's configuration, in
    containerd's (the default of fresh installations since Docker 29) of its manifest.
    """

    digest: Digest
    ids: dict[str, list[Digest]] = {}


class Lock(_Model):
    """Images by their reference in the settings; package versions by platform, then package.

    `archives` are the digests of the packages' archives in the bundle that was made for this lock, by platform.
    """

    images: dict[str, Image] = {}
    packages: dict[str, dict[str, Version]] = {}
    archives: dict[str, Digest] = {}


def parse(text: str, where: str) -> Lock:
    """Read a lock file. Raises `LockError` with every problem; `where` is the file's name in them."""
    try:
        return Lock(**tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise LockError([f"{where}: expected TOML, got {error}; {_HOW} again"]) from None
    except ValidationError as error:
        raise LockError(
            [
                f"{where}: expected {'/'.join(map(str, detail['loc']))} as runbooks/lock.py writes it, "
                f"got {detail['input']!r}; {_HOW} again"
                for detail in error.errors()
            ]
        ) from None


def render(lock: Lock) -> str:
    """The lock as a file: sorted, so that the same lock is the same text."""
    # A JSON string of ASCII is a TOML basic string (TOML 1.0, "String"), and references and versions are ASCII.
    lines = []
    for reference, image in sorted(lock.images.items()):
        lines += ["", f"[images.{json.dumps(reference)}]", f"digest = {json.dumps(image.digest)}"]
        lines += [f"ids.{architecture} = {json.dumps(sorted(ids))}" for architecture, ids in sorted(image.ids.items())]
    for platform, versions in sorted(lock.packages.items()):
        lines += ["", f"[packages.{json.dumps(platform)}]"]
        lines += [f"{json.dumps(name)} = {json.dumps(version)}" for name, version in sorted(versions.items())]
    if lock.archives:
        lines += [
            "",
            "# Of the bundle that runbooks/bundle.py made; others are refused.",
            "[archives]",
        ]
        lines += [
            f"{json.dumps(platform)} = {json.dumps(digest)}" for platform, digest in sorted(lock.archives.items())
        ]
    return _HEADER + "\n".join(lines) + "\n"


def changes(old: Lock, new: Lock) -> list[str]:
    """What is different in `new`, a line each; empty when nothing is."""
    before, after = _flat(old), _flat(new)
    lines = []
    for what in sorted(before.keys() | after.keys()):
        if what not in before:
            lines.append(f"{what}: {after[what]}, new")
        elif what not in after:
            lines.append(f"{what}: {before[what]}, gone")
        elif before[what] != after[what]:
            lines.append(f"{what}: {after[what]}, was {before[what]}")
    return lines


def _flat(lock: Lock) -> dict[str, str]:
    images = {f"image {reference}": image.digest for reference, image in lock.images.items()}
    ids = {
        f"image {reference} on {architecture}": ", ".join(sorted(found))
        for reference, image in lock.images.items()
        for architecture, found in image.ids.items()
    }
    packages = {
        f"package {name} on {platform}": version
        for platform, versions in lock.packages.items()
        for name, version in versions.items()
    }
    archives = {f"packages' archive for {platform}": digest for platform, digest in lock.archives.items()}
    return images | ids | packages | archives


def missing(lock: Lock, references: Iterable[str], where: str) -> list[str]:
    """The image references of the settings that the lock does not have, or has otherwise."""
    problems = []
    for reference in references:
        _, _, own = reference.partition("@")
        if reference not in lock.images:
            problems.append(f"{where}: expected the image {reference}, got none; {_HOW}, or remove the lock file")
        elif own and own != lock.images[reference].digest:
            problems.append(
                f"{where}: expected {own} for {reference}, got {lock.images[reference].digest}; {_HOW} again"
            )
    return problems


# --- What runs on a host -----------------------------------------------------------------------------


@dataclass(frozen=True)
class LocalImage:
    """An image in a host's store, and the digests of its repository it was pulled by."""

    id: str
    architecture: str
    digests: frozenset[str]


def running_request() -> dict[str, str]:
    """What the verb `running_images` of the host's program is asked (`host/verbs/images.py`)."""
    return {"pattern": compose.OURS}


class _RunningImage(TypedDict):
    id: str
    architecture: str
    digests: list[str]


def parse_running(content: object) -> dict[str, LocalImage]:
    """Read the answer of the verb `running_images`: the stack's images, by the reference its containers were made with.

    Raises `document.IncompleteError` where it has another form.
    """
    found = document.checked("running_images", TypeAdapter(dict[str, _RunningImage]), content)
    return {
        reference: LocalImage(
            image["id"],
            image["architecture"],
            frozenset(
                digest
                for repository, _, digest in (entry.partition("@") for entry in image["digests"])
                if repository == repository_of(reference) or _familiar(repository_of(reference)) == repository
            ),
        )
        for reference, image in found.items()
    }


def repository_of(reference: str) -> str:
    """A reference without its tag and digest: `registry:5000/name:tag@sha256:...` is `registry:5000/name`."""
    name = reference.partition("@")[0]
    head, separator, last = name.rpartition("/")
    return head + separator + last.partition(":")[0]


def _familiar(repository: str) -> str:
    """A repository as Docker shows it: without Docker Hub's name (distribution/reference, FamiliarName)."""
    return repository.removeprefix("docker.io/").removeprefix("library/")


def platform(machine: Machine) -> str:
    """What a host's packages are for, e.g. `debian-13-amd64`. RHEL's minor releases share theirs."""
    version = machine.version if machine.package_manager == "apt" else machine.version.split(".")[0]
    return f"{machine.distribution}-{version}-{machine.docker_architecture}"


@dataclass(frozen=True)
class Seen:
    """One host for `record`: the images its settings name, those it runs, its platform, Docker's packages there."""

    host: str
    references: Sequence[str]
    images: Mapping[str, LocalImage]
    platform: str
    packages: Mapping[str, str]


def record(seen: Sequence[Seen], old: Lock, *, keep: bool) -> Lock:
    """The lock that says what these hosts run.

    `keep` leaves in what `old` has and none of them could say, for a run that did not look at all hosts. An image
    that was loaded from a bundle has no digest; it keeps the one `old` has for its id. Raises `LockError` when a
    host does not run what its settings name, or two hosts don't run the same.
    """
    problems: list[str] = []
    images: dict[str, Image] = {}
    packages: dict[str, dict[str, str]] = {}
    for reference in dict.fromkeys(reference for one in seen for reference in one.references):
        locals_ = {one.host: one.images.get(reference) for one in seen if reference in one.references}
        if absent := [name for name, image in locals_.items() if image is None]:
            problems.append(
                f"image {reference}: expected a container made from it, got none on {', '.join(absent)}; "
                "run deploy.py there first"
            )
        present = {name: image for name, image in locals_.items() if image}
        known = old.images.get(reference)
        digests = {name: _digests(image, known) for name, image in present.items()}
        if common := frozenset.intersection(*digests.values()) if digests else frozenset[str]():
            # One image may have been served by several digests, when only another architecture's changed.
            digest = known.digest if known and known.digest in common else min(common)
            ids: dict[str, set[str]] = {}
            if known and known.digest == digest and keep:
                ids |= {architecture: set(values) for architecture, values in known.ids.items()}
            for image in present.values():
                ids.setdefault(image.architecture, set()).add(image.id)
            images[reference] = Image(digest=digest, ids={key: sorted(values) for key, values in ids.items()})
        elif present:
            problems.append(_disagreement(f"image {reference}", {n: ", ".join(sorted(d)) for n, d in digests.items()}))
    for one in seen:
        for name, version in one.packages.items():
            versions = packages.setdefault(one.platform, {})
            if versions.setdefault(name, version) != version:
                found = {o.host: o.packages.get(name, "") for o in seen if o.platform == one.platform}
                problems.append(
                    _disagreement(f"package {name} on {one.platform}", {h: v for h, v in found.items() if v})
                )
    if problems:
        raise LockError(list(dict.fromkeys(problems)))
    if keep:
        images = old.images | images
        packages = old.packages | packages
    # An archive has the packages that were locked when it was made.
    archives = {name: digest for name, digest in old.archives.items() if packages.get(name) == old.packages.get(name)}
    return Lock(images=images, packages=packages, archives=archives)


def with_archive(lock: Lock, platform: str, sha256: str) -> Lock:
    """The lock that lets a bundle's packages for `platform` be installed: those of this SHA-256, and no others."""
    return lock.model_copy(update={"archives": {**lock.archives, platform: f"sha256:{sha256}"}})


def _digests(image: LocalImage, known: Image | None) -> frozenset[str]:
    if not image.digests and known and image.id in known.ids.get(image.architecture, []):
        return frozenset({known.digest})
    return image.digests


def _disagreement(what: str, values: Mapping[str, str]) -> str:
    by_value: dict[str, list[str]] = {}
    for host, value in values.items():
        by_value.setdefault(value or "no digest (it was not pulled from a registry)", []).append(host)
    got = " and ".join(f"{value} on {', '.join(hosts)}" for value, hosts in by_value.items())
    return f"{what}: expected one for all hosts, got {got}; bring them to the same, or lock some with --limit"


# --- What a locked host has ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """A locked image on its way to a host: its reference, and the names by which the host may know it."""

    reference: str
    image: Image
    architecture: str

    @property
    def name(self) -> str:
        """What to pull: the repository and the digest, whatever the tag means by now."""
        return f"{repository_of(self.reference)}@{self.image.digest}"

    @property
    def ids(self) -> list[str]:
        return self.image.ids.get(self.architecture, [])


def wanted(lock: Lock, references: Iterable[str], machine: Machine) -> list[Wanted]:
    """The locked images of these references, as this machine needs them."""
    return [
        Wanted(reference, lock.images[reference], machine.docker_architecture)
        for reference in dict.fromkeys(references)
    ]


@dataclass(frozen=True)
class Held:
    """One image on a host: the id its reference means there, and the locked image's; "" for none."""

    tagged: str = ""
    locked: str = ""


def unmet(wanted: Iterable[Wanted], present: Mapping[str, compose.Image]) -> list[Wanted]:
    """The locked images that their references don't mean on a host."""
    return [one for one in wanted if not _is_locked(one, present.get(one.reference))]


def _is_locked(one: Wanted, found: compose.Image | None) -> bool:
    if found is None:
        return False
    names = {one.name, f"{_familiar(repository_of(one.reference))}@{one.image.digest}"}
    return found.id in one.ids or not names.isdisjoint(found.digests)


def request(images: Iterable[Wanted]) -> dict[str, Any]:
    """What the verbs `images` and `pull` of the host's program are asked (`host/verbs/images.py`)."""
    return {"wanted": [{"reference": one.reference, "name": one.name, "ids": one.ids} for one in images]}


class _HeldImage(TypedDict):
    tagged: str
    locked: str


def parse_held(content: object) -> dict[str, Held]:
    """Read the answer of the verb `images`, by reference; {} for a host whose Docker does not answer.

    Raises `document.IncompleteError` where it has another form.
    """
    if content is None:
        return {}
    found = document.checked("images", TypeAdapter(dict[str, _HeldImage]), content)
    return {reference: Held(**ids) for reference, ids in found.items()}


def with_brought(names: Iterable[str]) -> list[str]:
    """The packages and those they bring that are part of the engine, too."""
    return [each for name in names for each in [name, *docker.BROUGHT.get(name, [])]]


def pinned(names: Sequence[str], present: Container[str], lock: Lock, machine: Machine) -> list[str]:
    """The packages to install: those that are missing at their locked versions, the others by name alone.

    An installed one has no version in it, because an engine is not replaced under running containers.
    """
    versions = lock.packages.get(platform(machine), {})
    absent = [name for name in names if name not in present]
    join = "=" if machine.package_manager == "apt" else "-"
    return [
        f"{name}{join}{versions[name]}" if name not in present and name in versions else name
        for name in with_brought(names)
        if name in names or (absent and name in versions and name not in present)
    ]


def exact(lock: Lock, machine: Machine, source: docker.Source) -> list[str]:
    """All of an engine's packages at their locked versions; [] where a bundle has none: `dnf`, or none of ours."""
    if source == "present" or machine.package_manager != "apt" or platform(machine) not in lock.packages:
        return []
    return pinned(docker.packages(machine, source), frozenset(), lock, machine)


def package_refusals(names: Iterable[str], present: Iterable[str], lock: Lock, machine: Machine) -> list[str]:
    """Why the packages that are missing here can't be installed as locked."""
    versions = lock.packages.get(platform(machine), {})
    unknown = sorted(set(names) - set(present) - versions.keys())
    if not unknown:
        return []
    return [
        f"lock: expected versions of {', '.join(unknown)} for {platform(machine)}, got none; deploy one such host "
        f"without the lock file and {_HOW}"
    ]


def package_drift(found: Mapping[str, str], lock: Lock, machine: Machine) -> list[str]:
    """Docker's packages that are installed in another version than locked. They are left as they are."""
    versions = lock.packages.get(platform(machine), {})
    return [
        f"package {name}: expected the locked {versions[name]}, got {version}; it is left as it is "
        "(an engine is not replaced under running containers)"
        for name, version in sorted(found.items())
        if name in versions and version != versions[name]
    ]
