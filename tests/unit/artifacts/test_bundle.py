"""A bundle is read only when it is whole and right, and serves only the hosts it fits."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from webui_stack.artifacts import bundle
from webui_stack.artifacts.bundle import Bundle, BundleError
from webui_stack.model import lock
from webui_stack.model.lock import Image, Lock, Wanted
from webui_stack.ops.progress import Progress

ID = "sha256:" + "1" * 64
IMAGE = bundle.image_part(ID)
PACKAGES = bundle.packages_part("debian-13-amd64")
LOCK = Lock(images={"valkey:8": Image(digest="sha256:" + "a" * 64, ids={"amd64": [ID]})})
CONTENT = {"lock.toml": lock.render(LOCK).encode(), IMAGE: b"layers" * 1000, PACKAGES: b"debs"}


def silent(_: str) -> None:
    return


def sums(content: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in content.items()).encode()


def pack(path: Path, content: dict[str, bytes], checksums: bytes | None = None) -> Path:
    """A tar archive of these files with their checksums, or with those given."""
    with tarfile.open(path, "w") as archive:
        for name, data in {"SHA256SUMS": checksums or sums(content), **content}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def good(tmp_path: Path) -> Bundle:
    return bundle.read(pack(tmp_path / "x.tar", CONTENT), silent)


def test_a_good_one_is_read(good: Bundle) -> None:
    assert good.lock == LOCK
    assert {name: part.size for name, part in good.parts.items()} == {n: len(data) for n, data in CONTENT.items()}
    with good.open(IMAGE, Progress("", 0, silent)) as content:
        assert content.read(6) == b"layers"
        content.seek(0)  # as pyinfra does before each attempt
        assert content.read() == CONTENT[IMAGE]


def test_what_the_writer_makes_is_a_bundle_that_sha256sum_believes(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    writer = bundle.Writer(tmp_path / "x.tar", folder, CONTENT["lock.toml"].decode())
    for name in (IMAGE, PACKAGES):
        with writer.part(name, hashlib.sha256(CONTENT[name]).hexdigest(), Progress("", 0, silent)) as file:
            file.write(CONTENT[name])
    made = writer.close(silent)
    assert made == bundle.read(tmp_path / "x.tar", silent)
    assert made.parts.keys() == CONTENT.keys()
    subprocess.run(["tar", "xf", "x.tar"], cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True)


def test_a_part_that_changed_on_its_way_here_is_never_a_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (tmp_path / "x.tar").write_text("the older one")
    writer = bundle.Writer(tmp_path / "x.tar", folder, CONTENT["lock.toml"].decode())
    with writer.part(IMAGE, hashlib.sha256(CONTENT[IMAGE]).hexdigest(), Progress("", 0, silent)) as file:
        file.write(b"half of it")
    with pytest.raises(BundleError, match="expected SHA-256"):
        writer.close(silent)
    assert (tmp_path / "x.tar").read_text() == "the older one"


@pytest.mark.parametrize(
    ("content", "checksums", "problem"),
    [
        ({**CONTENT, IMAGE: b"other"}, sums(CONTENT), f"x.tar, {IMAGE}: expected SHA-256"),
        ({k: v for k, v in CONTENT.items() if k != IMAGE}, sums(CONTENT), "got no such part"),
        (CONTENT, sums({k: v for k, v in CONTENT.items() if k != IMAGE}), "expected SHA-256 no such part"),
        ({IMAGE: CONTENT[IMAGE]}, None, "expected lock.toml in it, got none"),
        ({**CONTENT, "../../etc/passwd": b""}, None, "expected parts of a bundle, got '../../etc/passwd'"),
        ({**CONTENT, "lock.toml": b"nonsense"}, None, "x.tar, lock.toml: expected TOML"),
    ],
    ids=["other content", "part missing", "sum missing", "no lock", "foreign file", "lock is none"],
)
def test_a_wrong_one_is_refused_by_name(
    tmp_path: Path, content: dict[str, bytes], checksums: bytes | None, problem: str
) -> None:
    with pytest.raises(BundleError) as caught:
        bundle.read(pack(tmp_path / "x.tar", content, checksums), silent)
    assert problem in str(caught.value)


@pytest.mark.parametrize("size", [0, 700, 2000, 5000])
def test_one_that_is_cut_off_is_refused(tmp_path: Path, size: int) -> None:
    path = pack(tmp_path / "x.tar", CONTENT)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BundleError, match="make it again with"):
        bundle.read(path, silent)


def test_one_flipped_bit_is_found(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar", CONTENT)
    data = bytearray(path.read_bytes())
    data[data.index(b"layers") + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=f"x.tar, {IMAGE}: expected SHA-256"):
        bundle.read(path, silent)


def test_none_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="got no such file; copy it there, or set bundle_file"):
        bundle.read(tmp_path / "none.tar", silent)


def test_images_that_are_in_it_are_not_refused(good: Bundle) -> None:
    one = Wanted("valkey:8", LOCK.images["valkey:8"], "amd64")
    assert bundle.refusals(good, [one]) == []
    assert good.image(one) == (IMAGE, ID)


def test_an_architecture_that_is_not_in_it_is_named(good: Bundle) -> None:
    assert bundle.refusals(good, [Wanted("valkey:8", LOCK.images["valkey:8"], "arm64")]) == [
        "bundle x.tar: expected the image valkey:8 for arm64, got it for amd64; make a bundle on a host of that "
        "architecture with runbooks/bundle.py"
    ]


def test_a_reference_with_a_digest_can_not_be_loaded(good: Bundle) -> None:
    reference = f"valkey:8@sha256:{'a' * 64}"
    (line,) = bundle.refusals(good, [Wanted(reference, LOCK.images["valkey:8"], "amd64")])
    assert "expected no digest in it" in line


def test_packages_for_another_release_are_named(good: Bundle) -> None:
    assert bundle.package_refusals(good, "debian-13-amd64", None, "") == []
    assert bundle.package_refusals(good, "rhel-9-amd64", None, "") == [
        "bundle x.tar: expected Docker's packages for rhel-9-amd64, got debian-13-amd64; make a bundle on such a host "
        "with runbooks/bundle.py, or install Docker there yourself"
    ]


def test_the_operators_lock_decides_which_packages_are_installed(good: Bundle) -> None:
    own = lock.with_archive(LOCK, "debian-13-amd64", good.parts[PACKAGES].sha256)
    assert bundle.package_refusals(good, "debian-13-amd64", own, "x.lock.toml") == []
    other = lock.with_archive(LOCK, "debian-13-amd64", "f" * 64)
    for mine, wanted in ((other, "sha256:" + "f" * 64), (LOCK, "no such entry")):
        (line,) = bundle.package_refusals(good, "debian-13-amd64", mine, "x.lock.toml")
        assert f"expected the packages for debian-13-amd64 that x.lock.toml names ({wanted}), got sha256:" in line


def test_progress_is_told_of_what_is_long_and_of_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    clock = iter([0.0, 1.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr("webui_stack.ops.progress.time.monotonic", lambda: next(clock))
    progress = Progress("uploading x", 4_000_000, said.append)
    progress.add(1_000_000)
    assert said == []
    progress.add(1_000_000)
    progress.add(1_000_000)
    assert said == ["uploading x: 2 of 4 MB"]
