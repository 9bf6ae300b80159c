"""Classes that only hold values, as `dataclasses` makes them, for what has to start quickly.

The library's own decorator writes Python for each class and compiles it, and the library loads `inspect`. At the start
of a survey that was 40 of 140 ms of processor time (Python 3.11); Python keeps bytecode of modules, not of this.
To mypy these are the library's own. Its `replace`, `fields` and `asdict` work on instances, and load it then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .typed import Any, NoReturn, TypeVar

TYPE_CHECKING = False

_Class = TypeVar("_Class", bound=type)

# Where a class has its fields, by name.
_FIELDS = "_fields_by_name"


class _Field:
    """How a field begins where its record is made without a value for it, and whether `repr` shows it."""

    __slots__ = ("default", "default_factory", "repr")

    def __init__(
        self,
        *,
        default: Any = ...,  # which stands for none
        default_factory: Callable[[], Any] | None = None,
        repr: bool = True,  # noqa: A002 the library's own name
    ) -> None:
        self.default, self.default_factory, self.repr = default, default_factory, repr

    @property
    def is_optional(self) -> bool:
        return self.default is not ... or self.default_factory is not None

    def first(self) -> Any:
        return self.default_factory() if self.default_factory else self.default


def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    fields: Mapping[str, _Field] = type(self)._fields_by_name
    pairs = zip(fields, args)  # noqa: B905 Python 3.9 has no `strict`
    if len(args) == len(fields) and not kwargs:
        vars(self).update(pairs)
        return
    given = dict(pairs)
    given.update(kwargs)
    if len(given) < len(args) + len(kwargs) or not given.keys() <= fields.keys():
        _refuse(type(self).__name__, list(fields), len(args), kwargs)
    if len(given) < len(fields):
        missing = [key for key, one in fields.items() if key not in given and not one.is_optional]
        if missing:
            got = ", ".join(missing)
            raise TypeError(f"{type(self).__name__}: expected a value for each field, got none for {got}")
    # In the order of the fields, which files keep.
    vars(self).update({key: given[key] if key in given else one.first() for key, one in fields.items()})


def _refuse(name: str, fields: list[str], number: int, kwargs: Mapping[str, Any]) -> NoReturn:
    if number > len(fields):
        raise TypeError(f"{name}: expected {len(fields)} values at most, got {number}")
    key = next(key for key in kwargs if key not in fields[number:])
    raise TypeError(f"{name}: expected one value for each field, got another one for {key!r}")


def _repr(self: Any) -> str:
    shown = [f"{key}={getattr(self, key)!r}" for key, one in _fields(type(self)).items() if one.repr]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: object) -> Any:
    return vars(self) == vars(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _setattr(self: Any, name: str, value: object) -> NoReturn:
    del value  # it may be a secret
    raise AttributeError(f"{type(self).__name__}: expected its values to stay, got a new one for {name}")


def _delattr(self: Any, name: str) -> NoReturn:
    raise AttributeError(f"{type(self).__name__}: expected its values to stay, got none for {name}")


_METHODS = {"__init__": _init, "__repr__": _repr, "__eq__": _eq}
_METHODS |= {"__hash__": _hash, "__setattr__": _setattr, "__delattr__": _delattr}


class _OfLibrary:
    """The fields as `dataclasses` knows them, made when it first asks about a class."""

    def __get__(self, instance: object, owner: type) -> Mapping[str, Any]:
        from dataclasses import make_dataclass

        made: Any = make_dataclass(owner.__name__, list(_fields(owner)))
        found: Mapping[str, Any] = made.__dataclass_fields__
        owner.__dataclass_fields__ = found  # type: ignore[attr-defined]
        return found


def _dataclass(*, frozen: bool) -> Callable[[_Class], _Class]:
    """The decorator of the library, for what a record here needs of it: all are frozen."""
    assert frozen

    def made(of: _Class) -> _Class:
        fields = dict(_fields(of))
        for name in of.__annotations__:
            given = of.__dict__.get(name, ...)
            fields[name] = given if isinstance(given, _Field) else _Field(default=given)
            if isinstance(given, _Field):
                delattr(of, name)
        for name, method in _METHODS.items():
            if name not in of.__dict__:
                setattr(of, name, method)
        setattr(of, _FIELDS, fields)
        of.__dataclass_fields__ = _OfLibrary()  # type: ignore[attr-defined]
        return of

    return made


def _fields(of: type) -> Mapping[str, _Field]:
    found: Mapping[str, _Field] = getattr(of, _FIELDS, {})
    return found


def _values(record: object) -> tuple[Any, ...]:
    return tuple(vars(record)[name] for name in _fields(type(record)))


def _asdict(record: Any) -> dict[str, Any]:
    """The values by name, and those of records inside as well. All else is the very object, and no copy of it."""
    return {name: _plain(vars(record)[name]) for name in _fields(type(record))}


def _plain(value: Any) -> Any:
    if hasattr(type(value), _FIELDS):
        return _asdict(value)
    if isinstance(value, (list, tuple)):
        plain = [_plain(one) for one in value]
        return tuple(plain) if isinstance(value, tuple) else plain
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value


if TYPE_CHECKING:
    from dataclasses import asdict, dataclass, field
else:
    asdict, dataclass, field = _asdict, _dataclass, _Field

__all__ = ["asdict", "dataclass", "field"]
