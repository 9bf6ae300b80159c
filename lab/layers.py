"""Runs in a container, never here: write images into a registry's storage, layer by layer, as they arrive.

    python3 -c THIS_FILE has
    python3 -c THIS_FILE image KEY                           < the archive of `docker save`
    python3 -c THIS_FILE packages KEY ON_KEY [HIDDEN...]     < a tar of wheels and their requirements.txt

Each prints manifests as JSON, key -> text. The volume /blobs is what distribution's filesystem driver has as
docker/registry/v2/blobs (its registry/storage/paths.go), plus records/KEY: the manifests, by the key that the
lab asks for. Layers stay uncompressed: packing one takes longer than all hosts of a lab need to fetch it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

BLOBS = Path("/blobs")
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
# the engine's own archives have plain tar; one with containerd's image store has what was pulled
LAYERS = {
    b"\x1f\x8b": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    b"\x28\xb5": "application/vnd.oci.image.layer.v1.tar+zstd",
}
LAYER = "application/vnd.docker.image.rootfs.diff.tar"
PIECE = 1 << 20
STALE_S = 3600


def main(verb: str, *arguments: str) -> dict[str, str]:
    if verb == "has":
        return {path.name: path.read_text() for path in (BLOBS / "records").glob("*") if path.suffix != ".new"}
    BLOBS.joinpath("records").mkdir(exist_ok=True)
    for left_over in BLOBS.glob("tmp*"):
        # of a container that was killed; a younger one may be at work
        if time.time() - left_over.stat().st_mtime > STALE_S:
            shutil.rmtree(left_over)
    key, *rest = arguments
    # beside the blobs, so that they get their names by a rename
    with tempfile.TemporaryDirectory(dir=BLOBS) as work:
        manifest = image(Path(work)) if verb == "image" else packages(Path(work), *rest)
    text = json.dumps(manifest)
    put(text.encode())
    new = BLOBS / "records" / f"{key}.new"
    new.write_text(text)
    new.replace(new.with_suffix(""))
    return {key: text}


def image(work: Path) -> dict[str, Any]:
    """The manifest of the one image of `docker save`, its blobs in their places."""
    found: dict[str, tuple[Path, str]] = {}
    links: dict[str, str] = {}
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        for member in archive:
            if content := archive.extractfile(member) if member.isfile() else None:
                path = work / str(len(found))
                found[member.name] = path, copy(content, path)
            elif member.issym():
                # a layer that equals another one (moby, image/tarexport)
                links[member.name] = os.path.normpath(Path(member.name).parent / member.linkname)
    (described,) = json.loads(found["manifest.json"][0].read_text())

    def descriptor(name: str, media_type: str = "") -> dict[str, Any]:
        path, digest = found[links.get(name, name)]
        place = blob(digest)
        if path.exists():
            move(path, place)
        if not media_type:
            with place.open("rb") as start:
                media_type = LAYERS.get(start.read(2), LAYER)
        return described_blob(media_type, digest)

    config = descriptor(described["Config"], CONFIG)
    return manifest_of(config, [descriptor(name) for name in described["Layers"]])


def packages(work: Path, on: str, *hidden: str) -> dict[str, Any]:
    """The manifest of the image of the record `on` with a layer more: the wheels on stdin, installed and compiled.

    `hidden` are entries of `on`'s dist-packages that the new layer takes away.
    """
    wheels, root = work / "wheels", work / "root"
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        # the lab's own wheels, and Debian 12's Python has no filters yet (3.11.4)
        archive.extractall(wheels)  # noqa: S202
    # pip's wheel runs as it is (pip's documentation, "Running from source")
    (pip,) = wheels.glob("pip-*.whl")
    install = [
        *(sys.executable, f"{pip}/pip", "install", f"--root={root}", "--break-system-packages", "--ignore-installed"),
        *("--no-index", f"--find-links={wheels}", "--no-deps", "--require-hashes", "--no-compile", "--no-cache-dir"),
        *("--disable-pip-version-check", "--root-user-action=ignore", "--no-warn-script-location", "--quiet"),
        f"--requirement={wheels / 'requirements.txt'}",
    ]
    subprocess.run(install, check=True, stdout=sys.stderr)
    (site,) = root.glob("usr/local/lib/python3*/dist-packages")
    for tests in site.glob("*/tests"):
        shutil.rmtree(tests)
    # for a faster start; status 1: some file of a package (a template, say) is no valid Python
    places = [f"-s{root}", "-p/"]
    compiled = subprocess.run([sys.executable, "-m", "compileall", "-qq", "-j0", *places, str(site)], check=False)
    if compiled.returncode not in (0, 1):
        raise SystemExit(f"compileall: expected status 0 or 1, got {compiled.returncode}")
    if hidden:
        hide(site, hidden)
    layer = work / "layer"
    with layer.open("wb") as out:
        hashed = Hashed(out)
        with tarfile.open(fileobj=hashed, mode="w|") as archive:  # type: ignore[call-overload]
            archive.add(root / "usr", "usr")
    digest = hashed.digest()
    move(layer, blob(digest))
    manifest = json.loads((BLOBS / "records" / on).read_text())
    config = json.loads(blob(manifest["config"]["digest"]).read_text())
    config["rootfs"]["diff_ids"].append(digest)
    config["history"].append({"created_by": "the packages of requirements.txt"})
    return manifest_of(
        described_blob(CONFIG, put(json.dumps(config).encode())),
        [*manifest["layers"], described_blob(LAYER, digest)],
    )


def hide(site: Path, names: Sequence[str]) -> None:
    """Ensure a layer hides `names` and the former content of its own folders (OCI image specification, layer.md)."""
    for folder in [path for path in site.iterdir() if path.is_dir()]:
        (folder / ".wh..wh..opq").touch()
    for name in names:
        if not (site / name).exists():
            (site / f".wh.{name}").touch()


def manifest_of(config: dict[str, Any], layers: list[dict[str, Any]]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}


def described_blob(media_type: str, digest: str) -> dict[str, Any]:
    return {"mediaType": media_type, "size": blob(digest).stat().st_size, "digest": digest}


def blob(digest: str) -> Path:
    algorithm, value = digest.split(":")
    return BLOBS / algorithm / value[:2] / value / "data"


def put(content: bytes) -> str:
    """Ensure there is a blob with this content; return its digest."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with tempfile.TemporaryDirectory(dir=BLOBS) as work:
        path = Path(work) / "blob"
        path.write_bytes(content)
        move(path, blob(digest))
    return digest


def move(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    path.replace(place)


def copy(content: IO[bytes], path: Path) -> str:
    """Write `content` to `path`; return its digest."""
    with path.open("wb") as out:
        hashed = Hashed(out)
        shutil.copyfileobj(content, hashed, PIECE)
    return hashed.digest()


class Hashed:
    """A file that is written, and the digest of what was."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._hash = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self._hash.update(content)
        return self._out.write(content)

    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
