"""Each drift is seen, repaired by just the operations it takes, predicted by the dry run, and gone afterwards."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from tests.lab.drifts import GROUPS, SINGLE, UP, break_and_repair
from tests.lab.precious import START_S, within
from tests.lab.session import FRESH, Lab, changed

pytestmark = pytest.mark.lab

# The operations that repair the other groups repair these, too: `make long` has them, beside each drift alone.
ALIKE = {"users.acl edited, a container of others' making", "another setting, a file put right", "no network"}


def test_no_drift_can_hide_behind_another() -> None:
    for group, drifts in GROUPS.items():
        for (one, first), (other, second) in combinations(drifts.items(), 2):
            if set(first.repaired_by) & set(second.repaired_by):
                assert first.seen, f"{group}: {one}"
                assert second.seen, f"{group}: {other}"
                assert not set(first.seen) & set(second.seen), f"{group}: {one}, {other}"


@pytest.mark.parametrize(
    "group", [pytest.param(group, marks=[pytest.mark.long] if group in ALIKE else []) for group in GROUPS]
)
def test_each_drift_is_repaired_and_nothing_else_touched(
    lab: Lab, deployed: dict[str, Any], subtests: pytest.Subtests, group: str
) -> None:
    break_and_repair(lab, subtests, GROUPS[group])


@pytest.mark.long
@pytest.mark.parametrize("name", SINGLE)
def test_a_drift_alone_is_repaired_and_nothing_else_touched(
    lab: Lab, deployed: dict[str, Any], subtests: pytest.Subtests, name: str
) -> None:
    break_and_repair(lab, subtests, {name: SINGLE[name]})


@pytest.mark.long
def test_switching_the_append_only_file_off_and_on_again_loses_nothing(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    valkey = (
        "REDISCLI_AUTH=$(cat /opt/open-webui/secrets/valkey-password) "
        "docker exec -e REDISCLI_AUTH redis-valkey valkey-cli --user open-webui"
    )
    host.check_output(f"{valkey} SET open-webui:test:aof old")
    assert UP in changed(lab.report("-y", "deploy.py", "--data", "valkey_appendonly=false"))
    assert host.check_output(f"{valkey} GET open-webui:test:aof") == "old"
    host.check_output(f"{valkey} SET open-webui:test:aof new")
    monitor = valkey.replace("valkey-password", "valkey-monitor-password").replace(
        "--user open-webui", "--user monitor"
    )
    host.check_output(f"{monitor} BGSAVE")
    saved = "rdb_changes_since_last_save:0"
    within(START_S, "it is saved", lambda: saved in host.check_output(f"{monitor} INFO"))
    # As where a host goes down between the new configuration and the first append-only file.
    host.check_output("sed -i 's/^appendonly no/appendonly yes/' /opt/open-webui/valkey/valkey.conf")
    host.check_output("docker kill redis-valkey && docker start redis-valkey")
    within(START_S, "Valkey has loaded", lambda: host.run(f"{valkey} GET open-webui:test:aof").stdout.strip() == "new")
    within(START_S, "it writes the file", lambda: "yes" in host.run(f"{monitor} CONFIG GET appendonly").stdout)
    assert UP in changed(lab.report("-y", "deploy.py"))
    assert host.check_output(f"{valkey} GET open-webui:test:aof") == "new"
    host.check_output(f"{valkey} DEL open-webui:test:aof")
