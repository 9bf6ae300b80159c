"""`python -m lab up|down|status|ssh|save|cut|reconnect`: arguments only."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from types import FrameType

from lab import hosts, lifecycle, network, snapshots, state
from lab.errors import LabError
from lab.extras import ALL, EXTRAS, parse


def main() -> int:
    """Run one command; 0 if it did what it says, 1 with an error line if not, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m lab", description="Throw-away hosts on one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default=os.environ.get("LAB_NAME") or "default", help="default: LAB_NAME, or default")

    up = commands.add_parser("up", parents=[named], help="create, complete or start a lab")
    up.add_argument("--hosts", type=int, default=1, help="how many hosts at least (default 1)")
    up.add_argument("--host", type=int, action="append", help="the host of this number, in place of --hosts")
    up.add_argument("--saved", default="", metavar="KEY", help="make new hosts of the one saved under this key")
    up.add_argument("--debian", choices=("12", "13"), default="13", help="release of new hosts (default 13)")
    up.add_argument("--init", choices=("systemd", "none"), default="systemd", help="PID 1 of new hosts")
    up.add_argument(
        "--python",
        choices=("distro", "none"),
        default="distro",
        help="python3 of new hosts, as cloud images have it, or none",
    )
    up.add_argument(
        "--engine",
        choices=("distro", "newer"),
        default="distro",
        help="Docker that apt of new hosts offers: the release's own (default), or the newest in Debian's archive",
    )
    up.add_argument(
        "--with",
        dest="extras",
        default="",
        metavar="NAME,...",
        help="what the main job does not need: "
        + "; ".join(f"{name}: {one.what}" for name, one in EXTRAS.items())
        + f"; or {ALL}",
    )
    down = commands.add_parser("down", parents=[named], help="remove a lab and all it made")
    down.add_argument("--purge", action="store_true", help="also the cached images, volumes and downloads")
    commands.add_parser("status", parents=[named], help="show what a lab consists of")
    ssh = commands.add_parser("ssh", parents=[named], help="log in to a host, or run a command there")
    ssh.add_argument("host")
    ssh.add_argument("arguments", nargs=argparse.REMAINDER, metavar="COMMAND")
    save = commands.add_parser("save", parents=[named], help="keep a copy of a host and its Docker's data")
    save.add_argument("host")
    save.add_argument("key")
    cut = commands.add_parser("cut", parents=[named], help="cut a host off the lab's network; ssh to it goes on")
    cut.add_argument("host")
    reconnect = commands.add_parser("reconnect", parents=[named], help="bring a host back that was cut off")
    reconnect.add_argument("host")
    arguments = parser.parse_args()

    # a kill ends like Ctrl-C: with child processes ended and temporary containers removed
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        name = state.check_name(arguments.name)
        if arguments.command == "up":
            numbers = arguments.host or range(1, arguments.hosts + 1)
            if not numbers or not all(1 <= number <= network.MAX_HOSTS for number in numbers):
                option, given = ("--host", arguments.host) if arguments.host else ("--hosts", arguments.hosts)
                up.error(f"{option}: expected 1 to {network.MAX_HOSTS}, got {given}")
            saved = snapshots.check_key(arguments.saved)
            if arguments.engine == "newer" and (arguments.debian != "13" or saved):
                got = f"--saved {saved}" if saved else f"--debian {arguments.debian}"
                up.error(f"--engine newer: expected new hosts of Debian 13, the newest stable release, got {got}")
            made = hosts.Made(arguments.debian, arguments.init, arguments.python != "none", saved, arguments.engine)
            lifecycle.up(name, numbers, made, parse(arguments.extras))
        elif arguments.command == "down":
            lifecycle.down(name, arguments.purge)
        elif arguments.command == "status":
            return lifecycle.status(name)
        elif arguments.command == "save":
            lifecycle.save(name, arguments.host, snapshots.check_key(arguments.key))
        elif arguments.command == "cut":
            lifecycle.cut(name, arguments.host)
        elif arguments.command == "reconnect":
            lifecycle.reconnect(name, arguments.host)
        else:
            return lifecycle.ssh(name, arguments.host, arguments.arguments)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `python -m lab up` goes on from here, `down` removes what there is", file=sys.stderr)
        return 130
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
