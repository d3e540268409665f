"""The kernel counts what would leave the machine, so that native code of libraries is seen as well."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from projects import ROOT, write_tiny

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

# In a network of its own that leads nowhere: names are asked for at an address outside, and the kernel counts each
# connection and datagram that has no way to go.
ALONE = """
set -eu
ip link set lo up
printf 'nameserver 192.0.2.1\\noptions timeout:1 attempts:1\\n' >"$1/resolv.conf"
mount --bind "$1/resolv.conf" /etc/resolv.conf
shift
"$@"
awk '/^Ip:/ { if (!seen) { split($0, names); seen = 1 } else { split($0, values)
  for (i in names) if (names[i] == "OutNoRoutes") print "ways out:", values[i] } }
  /^Ip6OutNoRoutes/ { print "ways out:", $2 }' /proc/net/snmp /proc/net/snmp6
"""
COMMANDS = """
import sys
from pipeline import cli
assert cli.main(["check", sys.argv[1]]) == 0
assert cli.main(["run", sys.argv[1]]) == 0
"""


def ways_out(folder: Path, *command: str, **variables: str) -> list[int]:
    """How often a command tried to leave the machine, over IPv4 and IPv6."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("unshare and ip are not here")
    alone = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system allows no namespaces")
    done = subprocess.run(
        [*alone, "sh", "-c", ALONE, "sh", str(folder), *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)} | variables,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return [int(line.partition(": ")[2]) for line in done.stdout.splitlines() if line.startswith("ways out: ")]


def test_every_way_out_is_counted(tmp_path: Path) -> None:
    code = """
import contextlib, socket
for call in (
    lambda: socket.create_connection(("127.0.0.1", 9), 1),
    lambda: socket.create_connection(("192.0.2.5", 80), 1),
    lambda: socket.create_connection(("2001:db8::1", 80), 1),
    lambda: socket.getaddrinfo("example.org", 80, socket.AF_INET),
):
    with contextlib.suppress(OSError):
        call()
"""
    # One connection and the question for a name; the loopback address is no way out.
    assert ways_out(tmp_path, sys.executable, "-c", code)[0] == 2
    assert ways_out(tmp_path, sys.executable, "-c", "pass") == [0, 0]


def test_neither_a_check_nor_a_run_with_a_sink_leaves_the_machine(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    project = write_tiny(tmp_path / "project")
    with open(project.config, "a") as f:
        f.write("sinks: {mlflow: {}}\n")
    # The environment holds nothing that says "test" or "CI" to a library, which might keep it quiet for that.
    tracking = f"sqlite:///{tmp_path / 'mlflow.db'}"
    found = ways_out(tmp_path, sys.executable, "-c", COMMANDS, project.config, MLFLOW_TRACKING_URI=tracking)
    assert found == [0, 0]
    assert project.latest_summary()["status"] == "pushed"
    assert (tmp_path / "mlflow.db").exists()
