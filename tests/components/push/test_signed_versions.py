"""Signed versions: what they hold, and that nothing is used that a trusted key did not sign for that place.

The attacker of these tests can write everything in the destination, and has no key.
"""

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import signing_keys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import verifying

from components.base.errors import ConfigError, ImagegateError
from components.push import history, promotion, rollback, versions
from components.push.destination import MARKER, Folder, Store, at
from components.push.destination.base import LARGEST_FILES, LARGEST_SIGNATURE
from components.push.manifest import PushedManifest
from components.push.pull import pull
from components.push.settings import Push, Sign, Verify
from components.push.signing import trust
from components.push.signing.trust import Trust

Pushed = Callable[..., versions.Served]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "next", "theirs"):
        signing_keys.write(folder, name)
    return folder


def told(keys: Path, signs: str, *trusted: str) -> Trust:
    """What a configuration of these keys comes to."""
    verify = Verify(keys=tuple(str(keys / f"{name}.pub") for name in trusted)) if trusted else None
    return trust.writer(Push(destination="x", sign=Sign(key=str(keys / f"{signs}.pem")), verify=verify))


@pytest.fixture
def ours(keys: Path) -> Trust:
    return told(keys, "ours", "ours")


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("s3") if request.param == "s3" else str(tmp_path / "served")


@pytest.fixture
def pushed(root: str, tmp_path: Path, ours: Trust) -> Pushed:
    """`pushed("a")` pushes a model of that content, with our key or another's."""

    def run(content: str, by: Trust = ours, *, to: str = root, **more: object) -> versions.Served:
        (tmp_path / "model" / "variables").mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / "saved_model.pb").write_text(content)
        (tmp_path / "model" / "variables" / "data").write_text("weights")
        beside = {"exports/model.tflite": b"export"}
        return versions.push(str(tmp_path / "model"), to, PushedManifest(name="clothes"), beside, trust=by, **more)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "served"


def problem(path: Path | str, trusted: Trust) -> str:
    """Why the served version is refused; "" if it is not."""
    try:
        served = versions.current(str(path), trusted)
        assert served is not None
        with versions.local(served):
            return ""
    except versions.Damaged as error:
        return str(error)


def test_the_standard_tool_verifies_a_version_and_so_does_the_plain_signature(
    pushed: Pushed, folder: Path, keys: Path, ours: Trust
) -> None:
    served = pushed("a", to=str(folder))
    version = Path(served.path)
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=keys / "ours.pub")
    verifier.verify(version, version / "model.sig")  # it reads and hashes all files itself
    (version / "more").write_text("x")
    with pytest.raises(ValueError, match="Extra files found"):
        verifying.Config().use_elliptic_key_verifier(public_key=keys / "ours.pub").verify(
            version, version / "model.sig"
        )
    # By hand: DSSE signs "DSSEv1", then length and text of the type and of the statement.
    envelope = json.loads((version / "model.sig").read_bytes())["dsseEnvelope"]
    statement, kind = base64.b64decode(envelope["payload"]), b"application/vnd.in-toto+json"
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(statement), statement)
    public = serialization.load_pem_public_key((keys / "ours.pub").read_bytes())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed, ec.ECDSA(hashes.SHA256()))
    resources = json.loads(statement)["predicate"]["resources"]
    names = ["exports/model.tflite", "imagegate.json", "saved_model.pb", "variables/data"]
    expected = {name: hashlib.sha256((version / name).read_bytes()).hexdigest() for name in names}
    assert {one["name"]: one["digest"] for one in resources} == expected
    # The fingerprint is the digest of the file with the public key.
    assert served.signed_by == hashlib.sha256((keys / "ours.pub").read_bytes()).hexdigest()
    assert versions.current(str(folder), ours) == served


def test_a_signed_version_is_found_read_and_copied(root: str, pushed: Pushed, ours: Trust, tmp_path: Path) -> None:
    served = pushed("a")
    found = versions.current(root, ours)
    assert found is not None
    assert (found, found.signed_by) == (served, ours.keys[0].fingerprint)
    assert problem(root, ours) == ""
    with versions.local(found) as local:
        assert not local.startswith(root)  # a copy, which nobody changes after it was verified
        assert Path(local, "saved_model.pb").read_text() == "a"
    pulled = pull(root, str(tmp_path / "here"), 2, ours)
    assert pulled.new
    assert problem(tmp_path / "here", ours) == ""  # with its signature
    assert not pull(root, str(tmp_path / "here"), 2, ours).new


def test_who_has_no_key_reads_as_before_and_copies_the_signature_along(
    root: str, pushed: Pushed, ours: Trust, tmp_path: Path
) -> None:
    pushed("a")
    assert problem(root, Trust()) == ""
    pull(root, str(tmp_path / "here"), 2)
    assert problem(tmp_path / "here", ours) == ""


def _rewrite(version: Path, change: Callable[[dict[str, object]], object]) -> None:
    told = json.loads((version / "imagegate.json").read_bytes())
    change(told)
    (version / "imagegate.json").write_text(json.dumps(told))


def _recompute(version: Path) -> None:
    (version / "saved_model.pb").write_text("evil")
    digest = hashlib.sha256(b"evil").hexdigest()
    _rewrite(version, lambda told: told.update(files={**told["files"], "saved_model.pb": digest}))


def _add_and_name(version: Path) -> None:
    (version / "evil.so").write_text("evil")
    digest = hashlib.sha256(b"evil").hexdigest()
    _rewrite(version, lambda told: told.update(files={**told["files"], "evil.so": digest}))


def _remove_and_forget(version: Path) -> None:
    (version / "variables" / "data").unlink()
    _rewrite(version, lambda told: told["files"].pop("variables/data"))


def _link(version: Path) -> None:
    (version / "model.sig").rename(version.parent / "elsewhere")
    (version / "model.sig").symlink_to(version.parent / "elsewhere")


def _pipe(version: Path) -> None:
    (version / "model.sig").unlink()
    os.mkfifo(version / "model.sig")


def _huge(version: Path) -> None:
    with (version / "model.sig").open("r+b") as f:
        f.truncate(LARGEST_SIGNATURE + 1)


def _flip(version: Path) -> None:
    """One bit of the statement, which then names another file."""
    told = json.loads((version / "model.sig").read_bytes())
    statement = base64.b64decode(told["dsseEnvelope"]["payload"]).replace(b"saved_model.pb", b"saved_model.pc")
    told["dsseEnvelope"]["payload"] = base64.b64encode(statement).decode()
    (version / "model.sig").write_text(json.dumps(told))


def _deep(version: Path) -> None:
    (version / "model.sig").write_text('{"verificationMaterial":' + "[" * 100_000)


def _without_hint(version: Path) -> None:
    told = json.loads((version / "model.sig").read_bytes())
    told["verificationMaterial"] = {"publicKey": {}, "tlogEntries": []}
    (version / "model.sig").write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (lambda v: (v / "saved_model.pb").write_text("evil"), "/saved_model.pb does not match the model's imagegate"),
        (lambda v: (v / "evil.so").write_text("evil"), "/evil.so is not in the model's imagegate.json"),
        (lambda v: (v / ".gitignore").write_text("evil"), "/.gitignore is not in the model's imagegate.json"),
        (lambda v: (v / "variables" / "data").unlink(), "/variables/data is missing, but is in the model's imagegate"),
        (
            _recompute,
            "model.sig is of other files: it names another SHA-256, or none, of imagegate.json, saved_model.pb",
        ),
        (_add_and_name, "model.sig is of other files: it names another SHA-256, or none, of evil.so, imagegate.json"),
        (_remove_and_forget, "or none, of imagegate.json, variables/data"),
        (lambda v: _rewrite(v, lambda told: told.update(labels=["b", "a"])), "or none, of imagegate.json. Bring"),
        (lambda v: (v / "model.sig").unlink(), "model.sig is missing, and only signed versions are trusted"),
        (lambda v: (v / "model.sig").write_text("{}"), "was made by no key that can be told"),
        (lambda v: (v / "model.sig").write_bytes(b"\xff\x00"), "was made by no key that can be told"),
        (_deep, "was made by no key that can be told"),
        (_without_hint, "was made by no key that can be told"),
        (_flip, ", which did not make it"),
        (_link, "is a link, which is not followed"),
        (_pipe, "is not a regular file"),
        (_huge, f"has {LARGEST_SIGNATURE + 1:,} bytes, expected {LARGEST_SIGNATURE:,} at most"),
    ],
)
def test_whatever_is_changed_in_a_version_is_refused(
    attack: Callable[[Path], object], said: str, pushed: Pushed, folder: Path, ours: Trust, tmp_path: Path
) -> None:
    older, served = pushed("old", to=str(folder)), pushed("a", to=str(folder))
    assert problem(folder, ours) == ""
    attack(Path(served.path))
    assert said in problem(folder, ours)
    with pytest.raises(ImagegateError):
        pull(str(folder), str(tmp_path / "here"), 2, ours)
    assert not [name for name in os.listdir(tmp_path / "here") if name.isdigit()]
    # Going back is the way out; the copy is signed for its own number.
    now, _ = rollback.roll_back(str(folder), older.version, trust=ours)
    assert (now.manifest.rolled_back_to, now.signed_by) == (older.version, ours.keys[0].fingerprint)
    assert problem(folder, ours) == ""


def test_a_signature_by_another_key_is_refused(pushed: Pushed, keys: Path, root: str, ours: Trust) -> None:
    pushed("a", told(keys, "theirs"))
    theirs = hashlib.sha256((keys / "theirs.pub").read_bytes()).hexdigest()
    said = (
        f"model.sig was made by key {theirs[:16]}, which is none of the trusted ones: {ours.keys[0].fingerprint[:16]}"
    )
    assert said in problem(root, ours)
    # With their signature under our name it is no better.
    fs, path = fsspec.core.url_to_fs(f"{versions.current(root).path}/model.sig")
    forged = fs.cat_file(path).decode().replace(theirs, ours.keys[0].fingerprint)
    fs.pipe_file(path, forged.encode())
    assert ", which did not make it" in problem(root, ours)


def test_a_signature_of_another_version_is_refused(pushed: Pushed, folder: Path, ours: Trust) -> None:
    one, two = pushed("a", to=str(folder)), pushed("b", to=str(folder))
    shutil.copy(f"{one.path}/model.sig", f"{two.path}/model.sig")
    assert "is of other files: it names another SHA-256, or none, of imagegate.json, saved_model.pb" in problem(
        folder, ours
    )


def test_an_older_version_under_a_newer_number_is_refused(pushed: Pushed, folder: Path, ours: Trust) -> None:
    one, two = pushed("a", to=str(folder)), pushed("b", to=str(folder))
    shutil.copytree(one.path, folder / str(int(two.version) + 1))
    said = f"imagegate.json is signed for version {one.version}, and somebody copied it to this number"
    assert said in problem(folder, ours)
    shutil.rmtree(folder / str(int(two.version) + 1))
    # In the place of the newest, or inside of it.
    shutil.copytree(one.path, Path(two.path) / one.version)
    with pytest.raises(versions.Damaged, match="is not in the model's"):
        versions.verify(versions.find(two.path, ours))
    shutil.rmtree(two.path)
    shutil.copytree(one.path, two.path)
    assert said in problem(folder, ours)


def test_an_unsigned_version_among_signed_ones_is_not_passed_over(pushed: Pushed, root: str, ours: Trust) -> None:
    signed = pushed("a")
    unsigned = pushed("b", Trust())
    assert f"version {unsigned.version} is served, but nothing is known of it" in problem(root, ours)
    with pytest.raises(versions.Damaged, match="it is not brought back"):
        rollback.roll_back(root, unsigned.version, trust=ours)
    with pytest.raises(versions.Damaged, match="only signed versions are trusted"):
        pushed("c")
    entry = next(one for one in history.read(root, ours) if one.version == unsigned.version)
    assert "only signed versions are trusted" in entry.origin
    now, before = rollback.roll_back(root, signed.version, trust=ours)
    assert (before.version, now.manifest.rolled_back_from) == (unsigned.version, unsigned.version)
    assert problem(root, ours) == ""


def test_what_an_unsigned_version_says_is_withdrawn_is_not_believed(pushed: Pushed, folder: Path, ours: Trust) -> None:
    signed = pushed("a", to=str(folder))
    unsigned = pushed("b", Trust(), to=str(folder))
    _rewrite(Path(unsigned.path), lambda told: told.update(withdrawn={"0" * 64: "1"}))
    now, _ = rollback.roll_back(str(folder), signed.version, trust=ours)
    assert now.manifest.withdrawn == {}


def test_keys_are_rotated_with_both_trusted_for_a_while(pushed: Pushed, keys: Path, root: str, ours: Trust) -> None:
    old = pushed("a")
    both, new = told(keys, "next", "ours", "next"), told(keys, "next", "next")
    assert problem(root, both) == ""
    assert "none of the trusted ones" in problem(root, new)
    again = pushed("a", both, compared=old.version)  # the same model is signed anew, as a new version
    assert again.new
    assert (again.identity, again.signed_by) == (old.identity, new.keys[0].fingerprint)
    assert not pushed("a", both, compared=again.version).new
    assert problem(root, new) == ""
    with pytest.raises(versions.Damaged, match="none of the trusted ones"):
        rollback.roll_back(root, old.version, trust=new)  # what only the old key signed is no longer trusted


def test_a_destination_is_signed_first_and_demands_it_then(pushed: Pushed, keys: Path, root: str, ours: Trust) -> None:
    unsigned = pushed("a", Trust())
    assert not pushed("a", Trust(), compared=unsigned.version).new
    assert pushed(
        "a", told(keys, "ours"), compared=unsigned.version
    ).new  # push.sign alone accepts what is unsigned, and replaces it
    assert problem(root, ours) == ""


def test_a_challenger_is_promoted_only_if_it_is_signed(pushed: Pushed, root: str, keys: Path, ours: Trust) -> None:
    champion = pushed("a")
    with pytest.raises(ConfigError, match="there is no challenger"):
        promotion.promote(root, trust=ours)
    theirs = pushed("b", told(keys, "theirs"), compared=champion.version, as_challenger=True)
    assert versions.challenger(root, ours) is None
    for version in (None, theirs.version):
        with pytest.raises(versions.Damaged, match=r"none of the trusted ones: .*; it is not promoted"):
            promotion.promote(root, version, trust=ours)
    beside = pushed("c", compared=champion.version, as_challenger=True)
    assert versions.challenger(root, ours) == beside
    now, _, _ = promotion.promote(root, trust=ours)
    assert (now.manifest.promoted_from, now.signed_by) == (beside.version, ours.keys[0].fingerprint)
    assert problem(root, ours) == ""


def test_what_is_loaded_is_what_was_verified(pushed: Pushed, folder: Path, ours: Trust) -> None:
    served = pushed("a", to=str(folder))
    found = versions.current(str(folder), ours)
    assert found is not None
    with versions.local(found) as local:
        Path(served.path, "saved_model.pb").write_text("evil")
        assert Path(local, "saved_model.pb").read_text() == "a"
    # A manifest that is exchanged after it was verified is not copied either.
    Path(served.path, "saved_model.pb").write_text("a")
    _rewrite(Path(served.path), lambda told: told.update(labels=["b"]))
    with pytest.raises(versions.Damaged, match=r"imagegate\.json was changed while it was read"), versions.local(found):
        pass


def test_tidying_neither_counts_nor_removes_what_nobody_signed(pushed: Pushed, folder: Path, ours: Trust) -> None:
    good = [pushed(content, to=str(folder)) for content in "abc"]
    for number in range(1, 4):
        fake = folder / str(int(good[-1].version) - 10 - number)
        shutil.copytree(good[0].path, fake)
        _rewrite(fake, lambda told, name=fake.name: told.update(version=name))
    removed, problems = versions.tidy(str(folder), 2, ours)
    assert (removed, problems) == ([good[0].version], "")
    assert len([name for name in os.listdir(folder) if name.isdigit()]) == 5


def test_promotion_keeps_no_unsigned_champion_for_a_signed_challenger(
    pushed: Pushed, root: str, keys: Path, ours: Trust
) -> None:
    """Both are the same model, so all that a promotion can bring is the signature."""
    champion = pushed("a", Trust())
    signs = told(keys, "ours")
    beside = pushed("a", signs, as_challenger=True)
    now, before, _ = promotion.promote(root, trust=signs)
    assert (before, now.new, now.manifest.promoted_from) == (champion, True, beside.version)
    assert problem(root, ours) == ""


def test_a_rollback_to_the_served_version_signs_it(pushed: Pushed, root: str, keys: Path, ours: Trust) -> None:
    served, signs = pushed("a", Trust()), told(keys, "ours")
    now, _ = rollback.roll_back(root, served.version, trust=signs)
    assert (now.new, now.manifest.rolled_back_to, now.manifest.withdrawn) == (True, served.version, {})
    assert problem(root, ours) == ""
    assert not rollback.roll_back(root, now.version, trust=signs)[0].new  # it is signed, so a second one adds nothing


def _linked_file(version: Path) -> None:
    (version / "saved_model.pb").rename(version.parent / "kept")
    (version / "saved_model.pb").symlink_to(version.parent / "kept")


def _linked_folder(version: Path) -> None:
    (version / "assets").symlink_to(version.parent)


def _linked_parent(version: Path) -> None:
    (version / "variables").rename(version.parent / "kept")
    (version / "variables").symlink_to(version.parent / "kept")


def _piped_file(version: Path) -> None:
    (version / "saved_model.pb").unlink()
    os.mkfifo(version / "saved_model.pb")


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("attack", [_linked_file, _linked_folder, _linked_parent, _piped_file])
def test_what_is_no_file_is_vouched_for_by_nobody(
    attack: Callable[[Path], object], signed: bool, pushed: Pushed, folder: Path, ours: Trust
) -> None:
    """The content behind the link is that which was signed, and may be exchanged after it was verified."""
    trusted = ours if signed else Trust()
    served = versions.current(str(folder), trusted) if pushed("a", trusted, to=str(folder)) else None
    assert served is not None
    assert versions.intact(served)
    attack(Path(served.path))
    with pytest.raises(versions.Damaged):
        versions.verify(served)
    assert not versions.intact(served)
    with pytest.raises(ImagegateError), versions.local(served):
        pass


def test_nothing_is_copied_of_a_version_with_a_file_more(
    pushed: Pushed, root: str, ours: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed("a")
    served = versions.current(root, ours)
    assert served is not None
    fs, path = fsspec.core.url_to_fs(f"{served.path}/more")
    fs.pipe_file(path, b"gigabytes")
    copied: list[str] = []
    for kind in (Folder, Store):
        monkeypatch.setattr(kind, "get", lambda _, version, name, to: copied.append(name))
    with pytest.raises(versions.Damaged, match=r"/more is not in the model's"), versions.local(served):
        pass
    assert copied == []


def test_a_file_that_is_only_asked_for_is_not_read(tmp_path: Path) -> None:
    """Four TiB of zeros stand where a killed push leaves its marker, and where a version has its known images."""
    for name in (MARKER, "images.npy"):
        (tmp_path / "17").mkdir(exist_ok=True)
        with (tmp_path / "17" / name).open("wb") as f:
            f.truncate(2**42)
        found = list(versions.newest_first(at(str(tmp_path))))
        assert [one.problem.partition("imagegate.json ")[2] for one in found] == (
            [] if name == MARKER else ["is missing, but images.npy is there"]
        )
        (tmp_path / "17" / name).unlink()


def test_a_manifest_that_is_too_large_is_not_read(s3: str, pushed: Pushed, monkeypatch: pytest.MonkeyPatch) -> None:
    served = pushed("a", Trust(), to=s3)
    size = len(fsspec.open(f"{served.path}/imagegate.json").open().read())
    monkeypatch.setitem(LARGEST_FILES, "imagegate.json", size - 1)
    said = rf"imagegate\.json has {size:,} bytes, expected {size - 1:,} at most"
    with pytest.raises(versions.Damaged, match=said):
        versions.current(s3)


def test_a_version_from_before_signatures_is_not_to_be_removed(pushed: Pushed, root: str, keys: Path) -> None:
    unsigned = pushed("a", Trust())
    ours = told(keys, "ours", "ours")
    advice = "If it was pushed before you signed versions, run once with push.sign and without push.verify"
    assert advice in problem(root, ours)
    assert rollback.listed(list(versions.newest_first(at(root, ours)))) == f"{unsigned.version} (served, not signed)"
    pushed("a", told(keys, "ours"), compared=unsigned.version)  # the advice
    assert problem(root, ours) == ""
    pushed("b", told(keys, "theirs"))
    assert advice not in problem(root, ours)  # of which the cause is another


def test_a_rollback_passes_over_what_does_not_verify(pushed: Pushed, root: str, ours: Trust) -> None:
    first, second = pushed("a"), pushed("b")
    third = pushed("c")
    fs, path = fsspec.core.url_to_fs(f"{second.path}/model.sig")
    fs.pipe_file(path, b"{}")
    now, before = rollback.roll_back(root, trust=ours)
    assert (before, now.passed_over, now.manifest.rolled_back_to) == (third, (second.version,), first.version)
    assert problem(root, ours) == ""
    with pytest.raises(versions.Damaged, match="it is not brought back"):
        rollback.roll_back(root, second.version, trust=ours)  # whoever asks for it is told why not


def test_a_run_does_not_name_a_version_that_nobody_signed(pushed: Pushed, root: str, ours: Trust) -> None:
    pushed("a", Trust())
    with pytest.raises(versions.Damaged, match="only signed versions are trusted"):
        versions.at_start(root, "17", ours)
