"""A lock says what runs, reads back as it was written, and is refused where it would say something wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import surveys
from webui_stack.documents.document import IncompleteError
from webui_stack.host import images
from webui_stack.model import lock, machine
from webui_stack.model.lock import Held, Image, LocalImage, Lock, LockError, Seen, Wanted

DEBIAN = machine.parse(surveys.captured("machine/debian-13"))
VALKEY = "docker.io/valkey/valkey:8.0.12-alpine"
NAMES = ["docker.io", "docker-cli"]
VERSIONS = {"docker.io": "26.1.5+dfsg1-9", "docker-cli": "26.1.5+dfsg1-9", "containerd": "1.7.24~ds1-6", "runc": "1.1"}


def sha(digit: str) -> str:
    return "sha256:" + digit * 64


def seen(host: str, digests: str = "a", id_: str = "1", architecture: str = "amd64", **packages: str) -> Seen:
    image = LocalImage(sha(id_), architecture, frozenset(sha(digit) for digit in digests))
    return Seen(host, [VALKEY], {VALKEY: image}, f"debian-13-{architecture}", packages)


LOCK = Lock(
    images={VALKEY: Image(digest=sha("a"), ids={"amd64": [sha("1")]})}, packages={"debian-13-amd64": dict(VERSIONS)}
)

digests = st.integers(0, 2**256 - 1).map(lambda number: f"sha256:{number:064x}")
words = st.sampled_from(["registry.example.org:5000/a/b:1.2-x", "docker.io", "a@sha256:0", 'quote"d', "back\\slash"])
locks = st.builds(
    Lock,
    images=st.dictionaries(
        words,
        st.builds(
            Image,
            digest=digests,
            ids=st.dictionaries(
                st.sampled_from(["amd64", "arm64"]), st.lists(digests, max_size=2, unique=True).map(sorted)
            ),
        ),
    ),
    packages=st.dictionaries(words, st.dictionaries(words, st.sampled_from(list(VERSIONS.values())))),
)


@given(locks)
def test_a_lock_reads_back_as_it_was_written(one: Lock) -> None:
    assert lock.parse(lock.render(one), "x") == one


def test_the_same_lock_is_the_same_text() -> None:
    turned = Lock(images=LOCK.images, packages={"debian-13-amd64": dict(reversed(VERSIONS.items()))})
    assert lock.render(turned) == lock.render(LOCK)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("images = ", "x.lock.toml: expected TOML, got Invalid value (at end of document); run runbooks/lock.py again"),
        (
            '[images."a:1"]\ndigest = "sha256:12"\nids = {}',
            "x.lock.toml: expected images/a:1/digest as runbooks/lock.py writes it, got 'sha256:12'; "
            "run runbooks/lock.py again",
        ),
        (
            '[packages.debian-13-amd64]\nrunc = "1; rm -rf /"',
            "x.lock.toml: expected packages/debian-13-amd64/runc as runbooks/lock.py writes it, got '1; rm -rf /'; "
            "run runbooks/lock.py again",
        ),
        (
            "version = 2",
            "x.lock.toml: expected version as runbooks/lock.py writes it, got 2; run runbooks/lock.py again",
        ),
    ],
)
def test_what_is_no_lock_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(LockError) as caught:
        lock.parse(text, "x.lock.toml")
    assert caught.value.problems == [problem]


def test_an_image_the_lock_lacks_is_named() -> None:
    assert lock.missing(LOCK, [VALKEY], "x") == []
    assert lock.missing(LOCK, ["other:1"], "x") == [
        "x: expected the image other:1, got none; run runbooks/lock.py, or remove the lock file"
    ]
    own = f"{VALKEY}@{sha('b')}"
    assert lock.missing(Lock(images={own: LOCK.images[VALKEY]}), [own], "x") == [
        f"x: expected {sha('b')} for {own}, got {sha('a')}; run runbooks/lock.py again"
    ]


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        ("docker.io/valkey/valkey:8", "docker.io/valkey/valkey"),
        ("registry:5000/a/b", "registry:5000/a/b"),
        (f"registry:5000/a:1@{sha('a')}", "registry:5000/a"),
        ("valkey:8", "valkey"),
    ],
)
def test_a_repository_is_a_reference_without_tag_and_digest(reference: str, repository: str) -> None:
    assert lock.repository_of(reference) == repository
    image = Image(digest=sha("c"), ids={})
    assert Wanted(reference, image, "amd64").name == f"{repository}@{sha('c')}"


def test_what_runs_is_read_with_the_digests_of_its_own_repository() -> None:
    found = lock.parse_running(
        {
            # Docker shows Docker Hub's images without its name
            VALKEY: {
                "id": sha("1"),
                "architecture": "amd64",
                "digests": [f"valkey/valkey@{sha('a')}", f"mirror:5000/valkey/valkey@{sha('b')}"],
            },
            "built-here:1": {"id": sha("2"), "architecture": "amd64", "digests": []},
        }
    )
    assert found[VALKEY] == LocalImage(sha("1"), "amd64", frozenset({sha("a")}))
    assert found["built-here:1"].digests == frozenset()


@pytest.mark.parametrize("content", [None, [], {VALKEY: {"id": sha("1")}}])
def test_what_runs_in_another_form_is_no_answer(content: object) -> None:
    with pytest.raises(IncompleteError):
        lock.parse_running(content)


# --- Recording --------------------------------------------------------------------------------------


def test_hosts_that_run_the_same_make_a_lock() -> None:
    made = lock.record([seen("a", **VERSIONS), seen("b", **VERSIONS)], Lock(), keep=False)
    assert made == LOCK


def test_the_digest_of_packages_stays_as_long_as_their_versions() -> None:
    (platform,) = LOCK.packages
    old = lock.with_archive(LOCK, platform, "e" * 64)
    assert lock.parse(lock.render(old), "x.lock.toml") == old
    assert lock.record([seen("a", **VERSIONS)], old, keep=False).archives == {platform: sha("e")}
    newer = {name: f"{version}.1" for name, version in VERSIONS.items()}
    assert lock.record([seen("a", **newer)], old, keep=False).archives == {}


def test_two_architectures_and_two_stores_share_a_digest() -> None:
    made = lock.record([seen("a"), seen("b", id_="2", architecture="arm64"), seen("c", id_="a")], Lock(), keep=False)
    assert made.images[VALKEY].ids == {"amd64": [sha("1"), sha("a")], "arm64": [sha("2")]}


def test_hosts_that_disagree_are_named() -> None:
    with pytest.raises(LockError) as caught:
        lock.record([seen("a", runc="1"), seen("b", "b", runc="2"), seen("c", runc="1")], Lock(), keep=False)
    assert caught.value.problems == [
        f"image {VALKEY}: expected one for all hosts, got {sha('a')} on a, c and {sha('b')} on b; "
        "bring them to the same, or lock some with --limit",
        "package runc on debian-13-amd64: expected one for all hosts, got 1 on a, c and 2 on b; "
        "bring them to the same, or lock some with --limit",
    ]


def test_a_host_that_does_not_run_its_image_is_named() -> None:
    with pytest.raises(
        LockError, match=r"expected a container made from it, got none on b; run deploy\.py there first"
    ):
        lock.record([seen("a"), Seen("b", [VALKEY], {}, "debian-13-amd64", {})], Lock(), keep=False)


def test_an_image_built_on_the_host_has_nothing_to_lock() -> None:
    with pytest.raises(LockError, match="got no digest"):
        lock.record([seen("a", digests="")], Lock(), keep=False)


def test_a_loaded_image_keeps_the_digest_the_lock_has_for_it() -> None:
    assert lock.record([seen("a", digests="", **VERSIONS)], LOCK, keep=False) == LOCK
    with pytest.raises(LockError):
        lock.record([seen("a", digests="", id_="2")], LOCK, keep=False)


def test_one_image_under_two_digests_stays_with_the_locked_one() -> None:
    assert lock.record([seen("a", "9a")], LOCK, keep=False).images[VALKEY].digest == sha("a")
    assert lock.record([seen("a", "9a"), seen("b", "9")], LOCK, keep=False).images[VALKEY].digest == sha("9")


def test_only_a_run_with_a_limit_keeps_what_it_could_not_see() -> None:
    old = Lock(
        images={**LOCK.images, "gone:1": LOCK.images[VALKEY]},
        packages={**LOCK.packages, "ubuntu-24.04-amd64": {"runc": "1"}},
    )
    assert lock.record([seen("a", **VERSIONS)], old, keep=True) == old
    assert lock.record([seen("a", **VERSIONS)], old, keep=False) == LOCK


def test_changes_are_told_line_by_line() -> None:
    new = Lock(images={VALKEY: Image(digest=sha("b"), ids={"amd64": [sha("1")]})}, packages={})
    assert lock.changes(LOCK, LOCK) == []
    assert f"image {VALKEY}: {sha('b')}, was {sha('a')}" in lock.changes(LOCK, new)
    assert "package runc on debian-13-amd64: 1.1, gone" in lock.changes(LOCK, new)
    assert "package runc on debian-13-amd64: 1.1, new" in lock.changes(new, LOCK)


# --- Followed ---------------------------------------------------------------------------------------


def test_a_host_without_docker_gets_all_of_it_as_locked() -> None:
    assert lock.pinned(NAMES, frozenset(), LOCK, DEBIAN) == [
        "docker.io=26.1.5+dfsg1-9",
        "containerd=1.7.24~ds1-6",
        "runc=1.1",
        "docker-cli=26.1.5+dfsg1-9",
    ]


def test_installed_packages_get_no_version() -> None:
    assert lock.pinned(NAMES, frozenset(NAMES), LOCK, DEBIAN) == NAMES
    present = frozenset({"docker.io", "containerd", "runc"})
    assert lock.pinned(NAMES, present, LOCK, DEBIAN) == ["docker.io", "docker-cli=26.1.5+dfsg1-9"]


def test_an_installed_version_that_is_not_the_locked_one_is_told() -> None:
    assert lock.package_drift(VERSIONS, LOCK, DEBIAN) == []
    assert lock.package_drift({**VERSIONS, "runc": "1.2", "docker-ce": "5"}, LOCK, DEBIAN) == [
        "package runc: expected the locked 1.1, got 1.2; it is left as it is "
        "(an engine is not replaced under running containers)"
    ]


def test_missing_packages_that_the_lock_lacks_are_a_refusal() -> None:
    assert lock.package_refusals(NAMES, frozenset(), LOCK, DEBIAN) == []
    assert lock.package_refusals(NAMES, frozenset(NAMES), Lock(), DEBIAN) == []
    assert lock.package_refusals(NAMES, frozenset(), Lock(), DEBIAN) == [
        "lock: expected versions of docker-cli, docker.io for debian-13-amd64, got none; deploy one such host "
        "without the lock file and run runbooks/lock.py"
    ]


def test_what_a_host_has_is_read_by_reference() -> None:
    answer = {VALKEY: {"tagged": sha("1"), "locked": sha("2")}, "b": {"tagged": "", "locked": sha("3")}}
    assert lock.parse_held(answer) == {VALKEY: Held(sha("1"), sha("2")), "b": Held("", sha("3"))}
    assert lock.parse_held(None) == {}, "Docker does not answer"


@pytest.mark.parametrize("answer", [[], {VALKEY: {"tagged": ""}}, {VALKEY: {"tagged": None, "locked": ""}}])
def test_an_answer_of_another_form_says_nothing_of_images(answer: object) -> None:
    with pytest.raises(IncompleteError, match=r"^images: expected .*; run it again$"):
        lock.parse_held(answer)


def test_the_program_is_asked_by_what_an_image_may_be_known_by() -> None:
    one = Wanted("r/x:1@sha256:0", Image(digest=sha("a"), ids={"amd64": [sha("1")], "arm64": [sha("2")]}), "amd64")
    request = {"reference": "r/x:1@sha256:0", "name": f"r/x@{sha('a')}", "ids": [sha("1")]}
    assert lock.request([one]) == {"wanted": [request]}
    assert images.locked([request]) == [images.Locked("r/x:1@sha256:0", f"r/x@{sha('a')}", [sha("1")])]
