"""Runs that sign what they push, and that use only what is signed."""

import hashlib
import json
from pathlib import Path

import pytest
import signing_keys
from projects import Project, ran

from components.push import rollback, versions
from components.push.settings import Push, Sign, Verify
from components.push.signing import trust
from pipeline import cli

pytestmark = pytest.mark.end_to_end


def test_a_run_signs_its_model_and_the_next_ones_use_nothing_else(
    tiny: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = signing_keys.write(tmp_path, "key")
    public = private.with_suffix(".pub")
    unsigned = versions.current(str(tiny.destination))
    signs = f"push.sign.key={private}"
    # The same model, which is served without a signature, is pushed again with one.
    summary = tiny.run(signs)
    assert (summary["status"], "Trainer" in ran(summary)) == ("pushed", False)
    served = versions.current(str(tiny.destination))
    assert (served.identity, served.version > unsigned.version) == (unsigned.identity, True)
    assert cli.main(["verify", str(tiny.destination), "--key", str(public), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["name"]) == (served.version, "tiny")
    assert told["key"] == hashlib.sha256(public.read_bytes()).hexdigest()
    version = Path(served.path)
    there = {str(path.relative_to(version)) for path in version.rglob("*") if path.is_file()}
    assert set(told["files"]) == there - {"model.sig"}
    statement = told["provenance"]
    about = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    assert about == {name: hashlib.sha256((version / name).read_bytes()).hexdigest() for name in served.model}
    build = statement["predicate"]["buildDefinition"]
    assert build["externalParameters"]["configuration"]["push"]["sign"] == {"key": str(private)}
    used = {one["name"]: one["digest"]["sha256"] for one in build["resolvedDependencies"]}
    assert used == {
        "data": served.manifest.data_fingerprint,
        "code": served.manifest.code_fingerprint,
        "configuration": served.manifest.configuration_fingerprint,
    }
    assert statement["predicate"]["runDetails"]["builder"]["version"].items() >= {"imagegate": "0.1.0"}.items()

    # With the key trusted, it is compared with; with a manifest that somebody changed, it is not.
    verifies = f"push.verify.keys=[{public}]"
    assert "Pusher" in ran(tiny.run(signs, verifies))
    summary = tiny.run(signs, verifies)
    assert (summary["status"], summary["pushed"]["version"], ran(summary)) == ("up_to_date", served.version, set())
    manifest = version / "imagegate.json"
    before = manifest.read_bytes()
    manifest.write_bytes(before.replace(b'"accuracy"', b'"accuracx"'))
    summary = tiny.run(signs, verifies)
    assert (summary["status"], summary["exit_code"]) == ("failed", 1)
    assert f"version {served.version} is served, but nothing is known of it" in summary["error"]
    assert "model.sig is of other files: it names another SHA-256, or none, of imagegate.json" in summary["error"]
    manifest.write_bytes(before)
    # No key is in any file of the run or the destination.
    secret = "".join(private.read_text().splitlines()[1:-1]).encode()
    for folder in (tiny.output, tiny.destination):
        for path in folder.rglob("*"):
            assert not path.is_file() or secret[:40] not in path.read_bytes()
    # The unsigned one is not brought back.
    trusted = trust.writer(Push(destination="x", sign=Sign(key=str(private)), verify=Verify(keys=(str(public),))))
    with pytest.raises(versions.Damaged, match="only signed versions are trusted"):
        rollback.roll_back(str(tiny.destination), unsigned.version, trust=trusted)
