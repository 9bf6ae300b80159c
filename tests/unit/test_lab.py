"""The lab's image pins, and the files it hands out, without an engine."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lab import images, keys, registry, state
from lab.__main__ import main
from tests.defaults import DEFAULTS

PINS = {
    "_VALKEY_TAG": "docker.io/valkey/valkey",
    "_POSTGRES_TAG": "docker.io/pgvector/pgvector",
    "_CADDY_TAG": "docker.io/library/caddy",
}


@pytest.mark.parametrize(("pin", "repository"), PINS.items())
def test_every_image_pin_is_annotated_for_renovate(pin: str, repository: str) -> None:
    lines = Path(registry.__file__).read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith(f"{pin} = "))
    assert lines[number - 1] == f"# renovate: datasource=docker depName={repository} versioning=docker"


def test_the_lab_pulls_the_valkey_that_the_settings_pin() -> None:
    assert DEFAULTS["valkey_image"] == f"{PINS['_VALKEY_TAG']}:{registry._VALKEY_TAG}"


def test_the_tag_of_postgres_names_the_debian_release_it_sorts_by() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+-pg17-trixie", registry._POSTGRES_TAG)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(state, "LABS", tmp_path)
    state.ensure_folder("a")
    keys.ensure_authority("a")
    return "a"


def test_the_certificate_is_the_authoritys_for_name_and_loopback(lab: str) -> None:
    certificate_file, key_file = keys.ensure_certificate(lab, "chat.lab.test")
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate((state.folder(lab) / "ca.crt").read_bytes()))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["chat.lab.test", "localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert key.public_key() == certificate.public_key()
    assert key_file.stat().st_mode & 0o777 == 0o600


def test_a_certificate_stays_and_half_of_one_is_made_anew(lab: str) -> None:
    certificate_file, key_file = keys.ensure_certificate(lab, "chat.lab.test")
    before = certificate_file.read_bytes(), key_file.read_bytes()
    keys.ensure_certificate(lab, "chat.lab.test")
    assert (certificate_file.read_bytes(), key_file.read_bytes()) == before
    certificate_file.unlink()
    keys.ensure_certificate(lab, "chat.lab.test")
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert x509.load_pem_x509_certificate(certificate_file.read_bytes()).public_key() == key.public_key()


@pytest.mark.parametrize(
    "script", sorted(images.RECIPES.glob("*/docker-entrypoint.sh")), ids=lambda path: path.parent.name
)
def test_an_entry_point_is_a_posix_shell_script(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)


@pytest.mark.parametrize("other", ["--debian 12", "--saved deployed"])
def test_the_newest_engine_is_for_new_hosts_of_debian_13(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest's own handlers stay
    monkeypatch.setattr(sys, "argv", ["lab", "up", "--engine", "newer", *other.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"--engine newer: expected new hosts of Debian 13, the newest stable release, got {other}" in (
        capsys.readouterr().err
    )


def test_hosts_with_the_newest_engine_get_an_image_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's image is under it, as it is: those of other hosts are not built again for it."""
    built: list[tuple[str, str, str]] = []

    def build(recipe: str, name: str, _lab: str, inputs: str, _generate: Any) -> str:
        built.append((recipe, name, inputs))
        return f"image-of-{name}"

    monkeypatch.setattr(images, "build", build)
    monkeypatch.setattr(images, "debian", lambda *_: "base")
    assert images.host("13", "a") == "image-of-host-13"
    own = built.copy()
    built.clear()
    assert images.host("13", "a", engine="newer") == "image-of-host-13-newer"
    assert built == [*own, ("host-newer", "host-13-newer", "image-of-host-13")]
