"""The lab's image pins, and the files it hands out, without an engine."""

import re
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lab import images, keys, registry, state
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
