"""Models are pulled where the stack's Ollama lacks them, and a run that finds them changes nothing."""

from __future__ import annotations

from typing import Any

from tests.plan.conftest import Pyinfra, answering, converged
from webui_stack.host import protocol

WANTED = ["llama3.2:1b", "nomic-embed-text"]
PULL = "Models | Pull the models"


def lacking(*models: str, **changes: Any) -> dict[str, Any]:
    """A host whose Ollama says that it lacks these models; first, because the first answer that fits is given."""
    data = {"ollama": "service", "ollama_models": WANTED, **changes}
    host = answering(converged(**data))
    answer = f"python\n{protocol.written(protocol.FRAMED, protocol.Result(list(models)))}\n"
    return {**host, "fake_responses": {" models": answer, **host["fake_responses"]}}


def test_only_missing_models_are_pulled(pyinfra: Pyinfra) -> None:
    hosts = {"all": lacking(*WANTED), "one": lacking(WANTED[1]), "none": lacking()}
    result = pyinfra(hosts, "--dry", "--json")
    assert PULL in result.changes("all")
    assert PULL in result.changes("one")
    assert PULL not in result.changes("none")
    assert f"{WANTED[1]} is missing" in result.said("one")
    assert f"{WANTED[0]} is missing" not in result.said("one")


def test_a_stack_without_models_asks_nothing_about_them(pyinfra: Pyinfra) -> None:
    hosts = {"without": converged(), "empty": lacking(ollama_models=[]), "host": converged(ollama="host")}
    result = pyinfra(hosts, "--dry", "--json")
    assert PULL not in [operation["name"] for operation in result.plan]
    assert not [name for name in hosts if "models" in " ".join(result.executed(name))]


def test_a_restore_pulls_the_models_that_its_set_names(pyinfra: Pyinfra) -> None:
    host = lacking("of-the-set:1", ollama_models=[])
    result = pyinfra({"one": host}, "--dry", "--json", deploy="runbooks/restore.py")
    assert PULL in [operation["name"] for operation in result.plan]
