"""One pyinfra run: what is known only as long as it lasts, and what makes its process quick.

pyinfra 3.10 executes a deploy file once for each host, in one process: what hosts share needs a place. A module's own
dictionary would outlive the run, so two runs in one process would mix.
"""

from __future__ import annotations

import atexit
import functools
import gc
import inspect
import sys
from collections.abc import Callable, Hashable
from importlib import metadata
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from pyinfra.api import arguments, connectors, util
from pyinfra.context import ctx_state

if TYPE_CHECKING:
    from pyinfra.api import Inventory, State

_P = ParamSpec("_P")
_T = TypeVar("_T")

# On pyinfra's state, which begins and ends with the run.
_ATTRIBUTE = "webui_stack_run"


class Run:
    """One pyinfra run: its inventory, and whatever modules keep of it.

    Each host's settings and survey, the deploys under way, the report: the function or the class that makes such a
    thing is its key. So its type is known, and this module imports none of them.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self._kept: dict[Hashable, Any] = {}

    @property
    def inventory(self) -> Inventory:
        return self.state.inventory

    def once(self, make: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What `make` returns for these arguments, called once in this run. An exception is not kept.

        `make` is a function or a class of a module: a lambda would be another one at each call. Where two greenlets
        ask for what takes a while, both may call `make`, and both get the result of the first that is through.
        """
        key = (make, args, *sorted(kwargs.items()))
        if key not in self._kept:  # not by `except KeyError`: a traceback would begin with that
            self._kept.setdefault(key, make(*args, **kwargs))
        found: _T = self._kept[key]
        return found


def current() -> Run:
    """The run that pyinfra is in: deploy files and operations are in one, imports are not.

    Raises `RuntimeError` outside of a run.
    """
    state = ctx_state.get()  # type: ignore[no-untyped-call]
    if state is None:
        raise RuntimeError("run: expected pyinfra to be in one, got none; call this from a deploy file or an operation")
    return of(state)


def of(state: State) -> Run:
    """The run with this state; pyinfra hands it to callbacks."""
    found: Run | None = getattr(state, _ATTRIBUTE, None)
    if found is None:
        found = Run(state)
        setattr(state, _ATTRIBUTE, found)
    return found


def collect_garbage_rarely() -> None:
    """Ensure this process seldom looks for garbage, and not at all when it exits. A second call changes nothing.

    A run is one short process that loads 1000 modules and keeps nearly all it makes. Python looks for garbage often,
    and once more through everything at the exit. That is a tenth of the time of a short run.
    """
    gc.set_threshold(50_000, 20, 20)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def keep_bytecode() -> None:
    """Ensure Python keeps the bytecode of modules that it compiles, unless PYTHONDONTWRITEBYTECODE or -B forbids it.

    pyinfra's own command switches that off, so that no `__pycache__` appears beside a deploy file (pyinfra 3.10,
    pyinfra_cli/main.py). Where no installer has compiled the modules, as `uv` and `make setup` do not, each run would
    compile some 450 of them again. That is two thirds of the time of a short run.
    """
    sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)


def ask_less() -> None:
    """Ensure pyinfra does not look up for each host and operation what one look tells. A second call changes nothing.

    For 500 hosts that is a third of the processor time. pyinfra 3.10 looks up:

    - the entry points of all installed packages, twice for each host (pyinfra/api/connectors.py);
    - the types of its own arguments, for each operation of each host (pyinfra/api/arguments.py);
    - the lines of source of the whole stack, for each operation of each host (pyinfra/api/util.py). It uses names of
      files and numbers of lines alone. For a file of no module, such as deploy.py, `inspect` looks through all modules.
    """
    for module, name, cheaper in _CHEAPER:
        if hasattr(module, name):  # another version may do without
            setattr(module, name, cheaper)


_CHEAPER = (
    (connectors, "entry_points", functools.cache(metadata.entry_points)),
    (arguments, "all_global_arguments", functools.cache(arguments.all_global_arguments)),
    (util, "stack", functools.partial(inspect.stack, 0)),
    (util, "getframeinfo", functools.partial(inspect.getframeinfo, context=0)),
)
