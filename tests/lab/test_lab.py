"""What other tests trust the lab for: a cut host is cut off, a shared folder is shared."""

import pytest

from tests.lab.session import EARLIER, SPARE, Lab, run_lab

pytestmark = pytest.mark.lab


def reaches_packages(lab: Lab, name: str) -> bool:
    key = f"{lab.inventory['packages']['url']}/debian/gpg"
    return bool(lab.host(name).run(f"curl --silent --fail --max-time 3 --output /dev/null {key}").succeeded)


def test_a_cut_host_answers_only_ssh_and_comes_back(lab: Lab) -> None:
    assert reaches_packages(lab, SPARE)
    address = lab.entry(SPARE)["address"]
    ssh = f"timeout 3 bash -c '</dev/tcp/{address}/22'"
    assert lab.host(EARLIER).run(ssh).succeeded
    try:
        run_lab("cut", SPARE)
        run_lab("cut", SPARE)
        assert not reaches_packages(lab, SPARE)
        assert lab.host(EARLIER).run(ssh).failed
        assert reaches_packages(lab, EARLIER)
    finally:
        run_lab("reconnect", SPARE)
    assert reaches_packages(lab, SPARE)
    assert lab.host(EARLIER).run(ssh).succeeded
    assert "LAB" not in lab.host(SPARE).check_output("iptables-save")


def test_the_shared_folder_is_one_for_all_hosts(lab: Lab) -> None:
    path = f"{lab.inventory['shared_dir']}/test-lab"
    lab.host(SPARE).check_output(f"echo from {SPARE} > {path}")
    try:
        assert lab.host(EARLIER).check_output(f"cat {path}") == f"from {SPARE}"
    finally:
        lab.host(EARLIER).check_output(f"rm {path}")
    assert not lab.host(SPARE).file(path).exists
