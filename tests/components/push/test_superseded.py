"""A model replaces the version that it was compared with, and no other."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from components.push import rollback, versions
from components.push.destination import at
from components.push.manifest import PushedManifest

Push = Callable[..., versions.Served]


@pytest.fixture(params=["folder", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield "memory://superseded/served" if request.param == "memory" else str(tmp_path / "served")
    fs = fsspec.filesystem("memory")
    if fs.exists("/superseded"):
        fs.rm("/superseded", recursive=True)


@pytest.fixture
def pushed(root: str, tmp_path: Path) -> Push:
    """`pushed("a", "17")` pushes a model of that content, which was compared with version 17."""

    def run(content: str, compared: str | None = None, name: str = "x", **more: Any) -> versions.Served:
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "saved_model.pb").write_text(content)
        return versions.push(str(tmp_path / "model"), root, PushedManifest(name=name), compared=compared, **more)

    return run


def remove(served: versions.Served) -> None:
    fs, path = fsspec.core.url_to_fs(served.path)
    fs.rm(path, recursive=True)


def refused(pushed: Push, compared: str, root: str) -> str:
    """The sentence; nothing has changed in the destination."""
    before = list(versions.newest_first(at(root)))
    with pytest.raises(versions.Superseded) as error:
        pushed("late", compared)
    assert list(versions.newest_first(at(root))) == before
    assert error.value.exit_code == 4
    return str(error.value)


def test_each_manifest_says_which_version_it_was_compared_with(root: str, pushed: Push) -> None:
    one = pushed("a", "")
    two = pushed("b", one.version)
    three = pushed("c", two.version)
    found = [(v.version, v.manifest.compared_with) for v in versions.newest_first(at(root))]
    assert found == [(three.version, two.version), (two.version, one.version), (one.version, "")]


def test_a_model_does_not_replace_a_version_that_it_was_not_compared_with(root: str, pushed: Push) -> None:
    one = pushed("a", "")
    two = pushed("b", one.version)
    assert refused(pushed, one.version, root) == (
        f"version {two.version} is served now, but this run compared its model with version {one.version}, which was "
        f"served when it began; nothing was pushed. Run again: then the model is compared with {two.version}, and the "
        "training is taken from the cache"
    )
    assert pushed("late", two.version).manifest.compared_with == two.version


def test_the_first_of_two_first_models_stays(root: str, pushed: Push) -> None:
    one = pushed("a", "")
    assert refused(pushed, "", root).startswith(
        f"version {one.version} is served now, but this run compared its model with none, because none was served then;"
    )


def test_a_rollback_while_a_model_is_trained_is_not_undone(root: str, pushed: Push) -> None:
    one = pushed("a", "")
    two = pushed("b", one.version)
    copy, _ = rollback.roll_back(root)
    assert copy.manifest.compared_with is None
    assert refused(pushed, two.version, root).startswith(
        f"version {copy.version}, a copy of version {one.version}, is served now, but this run compared its model with "
        f"version {two.version}, "
    )


def test_the_version_compared_with_was_removed(root: str, pushed: Push) -> None:
    one = pushed("a", "")
    two = pushed("b", one.version)
    remove(two)
    assert refused(pushed, two.version, root).startswith(f"version {one.version} is served now, but this run compared")
    remove(one)
    assert refused(pushed, one.version, root) == (
        f"no version is served now, but this run compared its model with version {one.version}, which was served when "
        "it began; nothing was pushed. Run again: then nothing is compared, and the training is taken from the cache"
    )


def test_a_run_reads_the_version_that_was_served_when_it_began(root: str, pushed: Push) -> None:
    assert versions.at_start(root, "") is None
    one = pushed("a", "")
    pushed("b", one.version)
    assert versions.at_start(root, "") is None
    assert versions.at_start(root, one.version) == one
    remove(one)
    with pytest.raises(versions.Superseded, match=f"compared its model with version {one.version}"):
        versions.at_start(root, one.version)


def test_a_retried_push_adds_no_second_version(root: str, pushed: Push) -> None:
    """The first try was killed after the version was there, so the second still names the version before it."""
    one = pushed("a", "")
    two = pushed("b", one.version)
    again = pushed("b", one.version)
    assert (one.new, two.new, again.new) == (True, True, False)
    assert again == two
    assert list(versions.newest_first(at(root))) == [two, one]


def test_an_equal_model_is_known_though_its_files_differ(root: str, tmp_path: Path) -> None:
    """Every export has another fingerprint.pb; the identity leaves it out."""
    folder, found = tmp_path / "model", []
    folder.mkdir()
    (folder / "saved_model.pb").write_text("graph")
    for uuid, name in (("1", "a"), ("2", "a"), ("3", "b"), ("4", "a")):
        (folder / "fingerprint.pb").write_text(uuid)
        told = PushedManifest(identity=name)
        compared = found[-1].version if found else ""
        if uuid == "4":
            rollback.roll_back(root)  # to a: now b is withdrawn
            (folder / "fingerprint.pb").write_text("5")
            with pytest.raises(versions.Withdrawn, match=f"was rolled back as version {compared}"):
                versions.push(str(folder), root, PushedManifest(identity="b"), compared=versions.current(root).version)
        found.append(versions.push(str(folder), root, told, compared=compared))
    assert [one.new for one in found] == [True, False, True, False]
    assert versions.current(root).manifest.rolled_back_to == found[0].version


def test_a_damaged_served_model_is_replaced_by_its_equal(root: str, pushed: Push) -> None:
    one = pushed("a", "")
    fs, path = fsspec.core.url_to_fs(f"{one.path}/saved_model.pb")
    fs.rm_file(path)
    two = pushed("a", one.version)
    assert two.new
    versions.verify(two)


def test_another_configuration_does_not_push_unless_it_takes_over(root: str, pushed: Push) -> None:
    one = pushed("a", "", name="birds")
    with pytest.raises(versions.AnotherName) as error:
        pushed("b", one.version, name="fish")
    assert str(error.value) == (
        f"push.destination: version {one.version}, which is served in it, was pushed by 'birds', and this "
        "configuration is 'fish'. Choose another push.destination, or set push.take_over: true if this configuration "
        "is to replace it"
    )
    assert error.value.exit_code == 2
    two = pushed("b", one.version, name="fish", take_over=True)
    with pytest.raises(versions.AnotherName, match="was pushed by 'fish', and this configuration is 'birds'"):
        pushed("c", two.version, name="birds")


def test_another_configuration_that_pushed_in_the_meantime_is_named(root: str, pushed: Push) -> None:
    pushed("a", "", name="birds")
    with pytest.raises(versions.AnotherName, match="was pushed by 'birds'"):
        pushed("b", "", name="fish")


def test_a_served_model_is_pushed_again_with_the_exports_that_are_wanted(
    root: str, pushed: Push, tmp_path: Path
) -> None:
    (tmp_path / "one.tflite").write_bytes(b"exported")
    card, export = {"MODEL_CARD.md": b"card"}, {"exports/one.tflite": str(tmp_path / "one.tflite")}
    first = pushed("a", "", beside=card)
    assert pushed("a", first.version, beside=card).version == first.version
    second = pushed("a", first.version, beside=card | export)
    assert second.version != first.version
    assert versions.content(second, "exports/one.tflite") == b"exported"
    # An export that is no longer wanted, or fails now, does not stay served.
    fewer = pushed("a", second.version, beside=card)
    assert fewer.new
    # A rollback takes what lies beside the model along.
    third = pushed("b", fewer.version, beside=card)
    back, _ = rollback.roll_back(root, second.version)
    assert back.version != third.version
    assert versions.content(back, "exports/one.tflite") == b"exported"
