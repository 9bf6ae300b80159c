"""Docker's own rules in the host's packet filter: whether somebody flushed them. Pure.

Docker writes them when it starts and does not look again. A firewall that is reloaded by flushing all rules takes
published ports, the containers' way out, and (with bridge-nf-call-iptables) their way to each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Prints a line a fact: `backend`, empty before Docker 29; `managed`, no where Docker leaves the filter to the operator;
# for `nat` and `filter` how many rules lead to Docker's, "?" where that can't be asked.
LOOK = r"""backend=$(docker info --format '{{.FirewallBackend.Driver}}' 2>/dev/null) || backend=
echo "backend $backend"
managed=yes
if grep -Eqs '"iptables"[[:space:]]*:[[:space:]]*false' /etc/docker/daemon.json ||
  tr '\0' '\n' 2>/dev/null <"/proc/$(cat /run/docker.pid 2>/dev/null)/cmdline" | grep -qxE -e '--iptables=(false|0)' ||
  docker info --format '{{.SecurityOptions}}' 2>/dev/null | grep -q rootless; then
  managed=no
fi
echo "managed $managed"
asked() { # name, what its lines are, a command that lists them
  what=$1 pattern=$2
  shift 2
  if rules=$("$@" 2>/dev/null); then echo "$what $(echo "$rules" | grep -cE -e "$pattern")"; else echo "$what ?"; fi
}
if [ "$backend" = nftables ]; then
  asked nat 'table ip docker-bridges' nft list tables
  asked filter 'table ip docker-bridges' nft list tables
else
  asked nat '-j DOCKER$' iptables -w 5 -t nat -S PREROUTING
  asked filter '-j DOCKER' iptables -w 5 -S FORWARD
fi
"""
NEXT_STEP = "`systemctl restart docker` makes them again; a firewall whose reload flushes all rules does it every time"


def parse(lines: Iterable[str]) -> dict[str, str]:
    """What `LOOK` printed, by name."""
    return dict(line.partition(" ")[::2] for line in lines)


def gone(seen: Mapping[str, str]) -> list[str]:
    """Which of Docker's rules are gone, `nat` and `filter`. None where Docker keeps no rules, or nobody can tell."""
    if seen.get("managed") != "yes":
        return []
    return [table for table in ("nat", "filter") if seen.get(table) == "0"]


def told(tables: Iterable[str]) -> str:
    """That they are gone, in words."""
    return f"Docker's rules are gone from the packet filter ({', '.join(tables)}): somebody flushed it"
