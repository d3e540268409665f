"""Going back: which version, what is written of it, and that a withdrawn model stays away."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from components.base.errors import ConfigError, ImagegateError
from components.push import rollback, versions
from components.push.destination import at
from components.push.manifest import PushedManifest

Push = Callable[[str], versions.Served]


@pytest.fixture(params=["folder", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield "memory://rolled/served" if request.param == "memory" else str(tmp_path / "served")
    if request.param == "memory":
        fs = fsspec.filesystem("memory")
        for path in [p for p in fs.store if p.startswith("/rolled/")]:
            fs.rm_file(path)


@pytest.fixture
def pushed(root: str, tmp_path: Path) -> Push:
    """`pushed("a")` pushes a model of that content."""

    def run(content: str) -> versions.Served:
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "saved_model.pb").write_text(content)
        return versions.push(
            str(tmp_path / "model"), root, PushedManifest(name=content), {"card.md": content.upper().encode()}
        )

    return run


def model(served: versions.Served) -> str:
    return versions.content(served, "saved_model.pb").decode()


def test_the_version_before_comes_back_as_a_larger_one(root: str, pushed: Push) -> None:
    one, two = pushed("a"), pushed("b")
    now, before = rollback.roll_back(root)
    assert before == two
    assert now == versions.current(root)
    assert int(now.version) > int(two.version)
    assert (model(now), versions.content(now, "card.md"), now.manifest.name) == ("a", b"A", "a")
    versions.verify(now)
    assert now.manifest.files == one.manifest.files
    assert now.manifest.rolled_back_from == two.version
    assert now.manifest.rolled_back_to == one.version
    assert now.manifest.withdrawn == {versions.identity(two.model): two.version}
    assert [versions.read(v.path) for v in (one, two)] == [one, two]  # as they were


def test_a_rollback_goes_back_along_the_lineage(root: str, pushed: Push) -> None:
    one, two, three = pushed("a"), pushed("b"), pushed("c")
    copy, _ = rollback.roll_back(root)
    assert (model(copy), copy.manifest.rolled_back_to) == ("b", two.version)
    now, _ = rollback.roll_back(root)  # not to c, which is the version before
    assert (model(now), now.manifest.rolled_back_to) == ("a", one.version)
    assert sorted(now.manifest.withdrawn.values()) == [three.version, copy.version]
    with pytest.raises(ConfigError, match=f"there is no version before {one.version} to go back to") as error:
        rollback.roll_back(root)
    listed = [f"{now.version} (served, a copy of {one.version})", f" (a copy of {two.version}), {three.version}, "]
    assert all(text in str(error.value) for text in listed)
    assert error.value.exit_code == 2


def test_after_a_rollback_and_a_push_the_next_rollback_restores_the_version_served_before(
    root: str, pushed: Push
) -> None:
    one, _ = pushed("a"), pushed("b")
    copy, _ = rollback.roll_back(root)
    pushed("c")
    now, _ = rollback.roll_back(root)
    assert (model(now), now.manifest.rolled_back_to) == ("a", one.version)
    assert int(now.version) > int(copy.version)


def test_withdrawn_versions_are_passed_over(root: str, pushed: Push) -> None:
    """c is served; before it b, which was withdrawn, and a's copy, which somebody removed."""
    pushed("a")
    pushed("b")
    copy, _ = rollback.roll_back(root)
    pushed("c")
    fs, path = fsspec.core.url_to_fs(copy.path)
    fs.rm(path, recursive=True)
    assert model(rollback.roll_back(root)[0]) == "a"


def test_a_named_version_comes_back(root: str, pushed: Push) -> None:
    one, two, three = pushed("a"), pushed("b"), pushed("c")
    now, _ = rollback.roll_back(root, one.version)
    assert (model(now), now.manifest.withdrawn) == ("a", {versions.identity(three.model): three.version})
    # Of the copy a copy is one of the version itself.
    rollback.roll_back(root, two.version)
    again, _ = rollback.roll_back(root, now.version)
    assert (model(again), again.manifest.rolled_back_to) == ("a", one.version)


@pytest.mark.parametrize("version", ["17", "x", "", "../served"])
def test_an_unknown_version_is_refused(root: str, pushed: Push, version: str) -> None:
    one, two = pushed("a"), pushed("b")
    with pytest.raises(ConfigError) as error:
        rollback.roll_back(root, version)
    expected = f"there is no version {version}; {root} holds {two.version} (served), {one.version}"
    assert str(error.value) == expected
    assert versions.current(root) == two


def test_without_an_earlier_version_there_is_no_rollback(root: str, pushed: Push) -> None:
    with pytest.raises(ConfigError, match=r"no version that imagegate pushed, so there is nothing to go back to"):
        rollback.roll_back(root)
    pushed("a")
    with pytest.raises(ConfigError, match="there is no version before"):
        rollback.roll_back(root)
    pushed("a")  # the very same model
    with pytest.raises(ConfigError, match="there is no version before"):
        rollback.roll_back(root)


def test_a_withdrawn_model_is_not_pushed_again_and_every_later_version_knows(root: str, pushed: Push) -> None:
    pushed("a")
    two = pushed("b")
    rollback.roll_back(root)
    three = pushed("c")
    assert three.manifest.withdrawn == {versions.identity(two.model): two.version}
    assert model(rollback.roll_back(root)[0]) == "a"
    for content, version in (("b", two.version), ("c", three.version)):
        with pytest.raises(
            versions.Withdrawn, match=f"this very model was rolled back as version {version}, so"
        ) as error:
            pushed(content)
        assert f"imagegate rollback CONFIG {version}" in str(error.value)
        assert error.value.exit_code == 4
    assert model(versions.current(root)) == "a"
    # What lies beside a model is not the model.
    assert set(pushed("d").manifest.withdrawn) == {versions.identity(two.model), versions.identity(three.model)}


def test_a_version_restored_by_name_is_no_longer_withdrawn(root: str, pushed: Push) -> None:
    one, two = pushed("a"), pushed("b")
    rollback.roll_back(root)
    now, _ = rollback.roll_back(root, two.version)
    assert (model(now), now.manifest.withdrawn) == ("b", {versions.identity(one.model): str(int(now.version) - 1)})
    pushed("b")


def damage(served: versions.Served, content: bytes = b"?") -> None:
    fs, path = fsspec.core.url_to_fs(f"{served.path}/saved_model.pb")
    fs.pipe_file(path, content)


def test_a_damaged_version_is_not_brought_back(root: str, pushed: Push) -> None:
    one, two = pushed("a"), pushed("b")
    damage(one)
    with pytest.raises(ImagegateError, match=rf"{one.path}/saved_model\.pb does not match") as error:
        rollback.roll_back(root)
    assert error.value.exit_code == 1
    assert versions.current(root) == two


def test_a_damaged_served_version_gives_way(root: str, pushed: Push) -> None:
    pushed("a")
    damage(pushed("b"))
    assert model(rollback.roll_back(root)[0]) == "a"


def test_a_damaged_copy_is_replaced_by_its_original(root: str, pushed: Push) -> None:
    one, two = pushed("a"), pushed("b")
    copy, _ = rollback.roll_back(root)
    damage(copy)
    now, _ = rollback.roll_back(root, one.version)
    assert (model(now), now.manifest.withdrawn) == ("a", {versions.identity(two.model): two.version})


def test_a_repeated_rollback_to_a_version_adds_nothing(root: str, pushed: Push) -> None:
    one, two = pushed("a"), pushed("b")
    copy, _ = rollback.roll_back(root, one.version)
    there = versions_of(root)
    assert copy.new
    for named in (one.version, copy.version, one.version):
        now, before = rollback.roll_back(root, named)
        assert now == before == copy
        assert not now.new
    assert versions_of(root) == there == [copy, two, one]


def test_a_rollback_to_what_is_served_adds_nothing_and_withdraws_nothing(root: str, pushed: Push) -> None:
    pushed("a")
    two = pushed("b")
    twin = pushed("b")  # the same content under another number
    for named in (two.version, twin.version):
        assert rollback.roll_back(root, named) == (twin, twin)
    assert versions_of(root)[0].manifest.withdrawn == {}
    assert len(versions_of(root)) == 3


def test_a_rollback_to_the_served_version_says_that_it_is_damaged(root: str, pushed: Push) -> None:
    pushed("a")
    two = pushed("b")
    damage(two)
    with pytest.raises(ImagegateError, match=rf"{two.path}/saved_model\.pb does not match"):
        rollback.roll_back(root, two.version)


def test_two_rollbacks_at_once_to_one_version_add_one_copy(tmp_path: Path) -> None:
    root = str(tmp_path / "served")
    (tmp_path / "model").mkdir()
    found = []
    for content in "abc":
        (tmp_path / "model" / "saved_model.pb").write_text(content)
        found.append(versions.push(str(tmp_path / "model"), root, PushedManifest()))
    with ThreadPoolExecutor(8) as threads:
        ended = list(threads.map(lambda _: rollback.roll_back(root, found[0].version)[0], range(8)))
    assert len({one.version for one in ended}) == 1
    assert [one.new for one in ended].count(True) == 1
    assert len(versions_of(root)) == 4


def test_a_rollback_gets_past_a_manifest_that_is_damaged(root: str, pushed: Push) -> None:
    """What the damaged manifest knew of withdrawn models is taken from the one before it."""
    one = pushed("a")
    two = pushed("b")
    rollback.roll_back(root, one.version)
    pushed("c")
    last = pushed("d")
    fs, path = fsspec.core.url_to_fs(f"{last.path}/imagegate.json")
    fs.pipe_file(path, b"{")
    with pytest.raises(ImagegateError, match=rf"{last.path}/imagegate\.json is damaged; it is not brought back"):
        rollback.roll_back(root, last.version)
    now, before = rollback.roll_back(root)
    assert (model(now), before.version) == ("c", last.version)
    assert now.manifest.withdrawn == {two.identity: two.version}


def test_another_configuration_rolls_back_only_if_it_takes_over(root: str, pushed: Push) -> None:
    pushed("birds")
    two = pushed("fish")
    with pytest.raises(versions.AnotherName, match=rf"version {two.version}, which .* was pushed by 'fish', and this"):
        rollback.roll_back(root, name="birds")
    with pytest.raises(versions.AnotherName, match="was pushed by 'birds', and this configuration is 'fish'"):
        rollback.roll_back(root, name="fish")
    now, _ = rollback.roll_back(root, name="fish", take_over=True)
    assert now.manifest.name == "birds"


def versions_of(root: str) -> list[versions.Served]:
    return list(versions.newest_first(at(root)))
