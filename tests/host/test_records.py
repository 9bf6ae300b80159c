"""A record does what a dataclass of the standard library does, in every way that this program uses one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from webui_stack.host import records


def both() -> list[tuple[str, Any]]:
    """The same class, by the library and by ours."""
    found = []
    for name, module in {"the library's": dataclasses, "ours": records}.items():

        @module.dataclass(frozen=True)  # type: ignore[attr-defined, untyped-decorator, unused-ignore]
        class Login:
            """Who asks a registry."""

            user: str
            port: int = 443
            password: str = module.field(default="", repr=False)  # type: ignore[attr-defined, unused-ignore]
            headers: Mapping[str, str] = module.field(default_factory=dict)  # type: ignore[attr-defined, unused-ignore]

            @property
            def at(self) -> str:
                return f"{self.user}:{self.port}"

            def __str__(self) -> str:
                return self.user

        found.append((name, Login))
    return found


@pytest.fixture(params=both(), ids=lambda one: one[0])
def login(request: pytest.FixtureRequest) -> Any:
    return request.param[1]


def test_values_are_taken_by_place_and_by_name_and_begin_with_their_defaults(login: Any) -> None:
    one = login("anna", port=80)
    assert (one.user, one.port, one.password, one.headers, one.at, str(one)) == ("anna", 80, "", {}, "anna:80", "anna")
    assert login("a").headers is not login("a").headers


@pytest.mark.parametrize(
    "make",
    [
        lambda login: login(),
        lambda login: login("a", 1, "b", {}, "c"),
        lambda login: login("a", user="b"),
        lambda login: login("a", name="b"),
    ],
    ids=["too few", "too many", "twice", "of no field"],
)
def test_values_that_fit_no_field_are_an_error_without_them(login: Any, make: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"^(?!.*'b')"):
        make(login)


def test_a_secret_is_not_shown(login: Any) -> None:
    assert repr(login("anna", password="sesame")).endswith("Login(user='anna', port=443, headers={})")


def test_records_are_equal_by_their_values_and_of_one_class_alone(login: Any) -> None:
    assert login("a", 1) == login("a", 1) != login("a", 2)
    assert login("a") != ("a", 443, "", {})
    some = login("a", headers=())
    assert hash(some) == hash(login("a", headers=()))


def test_values_stay(login: Any) -> None:
    one = login("anna")
    with pytest.raises(AttributeError):
        one.user = "berta"
    with pytest.raises(AttributeError):
        del one.user
    assert one == login("anna")


def test_the_library_reads_and_replaces_the_values_of_a_record(login: Any) -> None:
    one = login("anna", password="sesame")
    assert dataclasses.replace(one, port=80) == login("anna", 80, "sesame")
    assert [field.name for field in dataclasses.fields(login)] == ["user", "port", "password", "headers"]
    expected = {"user": "anna", "port": 443, "password": "sesame", "headers": {}}
    assert list(dataclasses.asdict(one).items()) == list(vars(one).items()) == list(expected.items())


def test_records_inside_of_others_become_dictionaries() -> None:
    @records.dataclass(frozen=True)
    class Inner:
        a: int

    @records.dataclass(frozen=True)
    class Outer:
        one: Inner
        more: tuple[Inner, ...]
        named: Mapping[str, list[Inner]]

    outer = Outer(Inner(1), (Inner(2),), {"x": [Inner(3)]})
    expected = {"one": {"a": 1}, "more": ({"a": 2},), "named": {"x": [{"a": 3}]}}
    assert records.asdict(outer) == dataclasses.asdict(outer) == expected
