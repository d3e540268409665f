"""docs/security.md names tests that exist; exceptions from the security rules and from the audit have reasons."""

import ast
import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from scripts.promises import promises

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
TABLES = re.findall(r"^\| promise \| test \|\n\|---\|---\|\n((?:\|.+\n)+)", TEXT, re.MULTILINE)
PROMISES = promises("\n".join(TABLES))
EXCEPTION = re.compile(r"[A-Z]+-\S+ +[a-z0-9-]+ +\S.{20,}")


@pytest.mark.parametrize("promise", PROMISES)
def test_each_measure_names_tests_that_exist(promise: str) -> None:
    assert PROMISES[promise], f"{promise}: no test is named"
    for test in PROMISES[promise]:
        path, _, function = test.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, test


def test_all_tables_are_read() -> None:
    assert len(TABLES) == TEXT.count("| promise | test |") >= 4
    assert len(PROMISES) >= 20


def test_each_exception_from_a_security_rule_has_a_reason_beside_it() -> None:
    marked = re.compile(r"# noqa:(?P<codes>[ A-Z0-9,]*\bS\d{3}\b[ A-Z0-9,]*?)(?P<reason>  .*)?$")
    found = {}
    for package in ("components", "pipeline", "scripts", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if mark := marked.search(line):
                    found[f"{path.relative_to(ROOT)}:{number}"] = (mark["reason"] or "").strip(" #")
    assert len(found) > 10
    assert [where for where, reason in found.items() if len(reason) < 5] == []


def test_each_exception_from_the_audit_names_the_package_and_a_reason() -> None:
    lines = (ROOT / "scripts" / "audit-exceptions.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#") and not EXCEPTION.fullmatch(line)] == []
    assert EXCEPTION.fullmatch("PYSEC-2024-1 pillow only its viewer, which is never opened here")
    assert not EXCEPTION.fullmatch("PYSEC-2024-1 pillow")


class Advisories(BaseHTTPRequestHandler):
    """osv.dev's answer to a query: one advisory of urllib3, nothing of others; of "idna" no answer."""

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_POST(self) -> None:
        package = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        affected = [{"package": {"name": "urllib3", "ecosystem": "PyPI"}, "ranges": []}]
        answer = {"vulns": [{"id": "PYSEC-2020-148", "details": "x", "affected": affected}]}
        body = json.dumps(answer if package == "urllib3" else {}).encode()
        self.send_response(500 if package == "idna" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "exceptions", "code"),
    [
        (["certifi==2024.2.2"], "", 0),
        (["certifi==2024.2.2", "urllib3==1.25.0"], "", 1),
        (["certifi==2024.2.2", "urllib3==1.25.0"], "PYSEC-2020-148 urllib3 it is only a test of the script\n", 0),
        (["certifi==2024.2.2", "idna==3.7"], "", 1),  # what could not be looked up is no good news
    ],
)
def test_the_audit_fails_at_a_vulnerability_without_a_reason(
    lines: list[str], exceptions: str, code: int, tmp_path: Path
) -> None:
    if not (ROOT / ".venv-audit").is_dir():
        pytest.skip("`make audit` has not been run here yet, so pip-audit is not installed")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "audit.sh").write_text((ROOT / "scripts" / "audit.sh").read_text())
    (tmp_path / "scripts" / "audit-exceptions.txt").write_text(f"# a comment\n{exceptions}")
    (tmp_path / "requirements-audit.lock").write_text((ROOT / "requirements-audit.lock").read_text())
    for name in (".venv", ".venv-audit"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "one.lock").write_text("".join(f"{line} --hash=sha256:{'0' * 64}\n" for line in lines))
    server = HTTPServer(("127.0.0.1", 0), Advisories)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    variables = {"LOCKS": "one.lock", "AUDIT_SERVICE": "osv", "AUDIT_OSV_URL": f"http://127.0.0.1:{server.server_port}"}
    done = subprocess.run(
        ["sh", "scripts/audit.sh"],
        cwd=tmp_path,
        env=os.environ | variables | {"NO_PROXY": "127.0.0.1"},
        check=False,
        capture_output=True,
        text=True,
    )
    server.shutdown()
    server.server_close()
    assert done.returncode == code, done.stdout + done.stderr
    assert ("PYSEC-2020-148" in done.stdout) == (code == 1 and "idna==3.7" not in lines)
