"""Challengers stand beside the served version, which stays what is served, until one is promoted."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from components.base.errors import ConfigError
from components.push import aliases, history, promotion, rollback, versions
from components.push.destination import Destination, at
from components.push.destination.base import served_first
from components.push.manifest import PushedManifest

Push = Callable[..., versions.Served]


@pytest.fixture(params=["folder", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield "memory://promoted/served" if request.param == "memory" else str(tmp_path / "served")
    fs = fsspec.filesystem("memory")
    if fs.exists("/promoted"):
        fs.rm("/promoted", recursive=True)


@pytest.fixture
def pushed(root: str, tmp_path: Path) -> Push:
    """`pushed("a")` pushes a model of that content, compared with what is served now, `beside=True` as a challenger.

    With `pushed("a", "b")`, a card of that content lies beside the model.
    """

    def run(content: str, card: str = "", *, beside: bool = False, name: str = "birds") -> versions.Served:
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "saved_model.pb").write_text(content)
        served = versions.current(root)
        compared = served.version if served else ""
        told = PushedManifest(name=name)
        cards = {"card.md": card.encode()} if card else {}
        return versions.push(str(tmp_path / "model"), root, told, cards, compared=compared, as_challenger=beside)

    return run


def model(served: versions.Served) -> str:
    return versions.content(served, "saved_model.pb").decode()


def loaded_by_a_server(root: str) -> str:
    """The version that a server without a configuration file loads: the largest number."""
    return served_first(at(root).versions())[0]


def server_config(root: str) -> Any:
    """The configuration file, read by protobuf itself with the fields of tensorflow_serving/config by number."""
    file = descriptor_pb2.FileDescriptorProto(name="s.proto", package="s", syntax="proto3")
    kind = descriptor_pb2.FieldDescriptorProto

    def message(message_name: str, /, **fields: tuple[int, int, bool, str]) -> None:
        told = file.message_type.add(name=message_name)
        for field, (number, type_, repeated, of) in fields.items():
            label = kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
            told.field.add(name=field, number=number, type=type_, label=label, type_name=f".s.{of}" if of else None)

    message("Specific", versions=(1, kind.TYPE_INT64, True, ""))
    message("Policy", specific=(102, kind.TYPE_MESSAGE, False, "Specific"))
    message("Label", key=(1, kind.TYPE_STRING, False, ""), value=(2, kind.TYPE_INT64, False, ""))
    message(
        "Model",
        name=(1, kind.TYPE_STRING, False, ""),
        base_path=(2, kind.TYPE_STRING, False, ""),
        model_platform=(4, kind.TYPE_STRING, False, ""),
        model_version_policy=(7, kind.TYPE_MESSAGE, False, "Policy"),
        version_labels=(8, kind.TYPE_MESSAGE, True, "Label"),  # a map is such a list in the text format
    )
    message("Models", config=(1, kind.TYPE_MESSAGE, True, "Model"))
    message("Server", model_config_list=(1, kind.TYPE_MESSAGE, False, "Models"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    server = message_factory.GetMessageClass(pool.FindMessageTypeByName("s.Server"))()
    content = at(root).read(aliases.FOLDER, aliases.CONFIG_FILE)
    assert content is not None
    text_format.Parse(content.decode(), server)
    [config] = server.model_config_list.config
    return config


def test_a_challenger_is_nowhere_what_is_served(root: str, pushed: Push) -> None:
    champion, beside = pushed("a"), pushed("b", beside=True)
    assert int(beside.version) < int(champion.version)
    assert loaded_by_a_server(root) == champion.version
    assert versions.current(root) == champion
    assert list(versions.newest_first(at(root))) == [champion]
    assert (beside.new, beside.manifest.challenger, beside.manifest.compared_with) == (True, True, champion.version)
    assert versions.challenger(root) == beside
    assert versions.read(beside.path) == beside  # imagegate predict takes it by its path
    with pytest.raises(ConfigError, match="there is no version before"):
        rollback.roll_back(root)
    assert [entry.version for entry in history.read(root)] == [champion.version]


def test_only_the_newest_challenger_stays_and_counts_as_no_version_to_keep(root: str, pushed: Push) -> None:
    champions = [pushed("a"), pushed("b")]
    beside = [pushed(content, beside=True) for content in "cd"]
    assert int(beside[0].version) < int(beside[1].version) < int(champions[0].version)
    assert versions.tidy(root, 2) == ([beside[0].version], "")
    assert set(at(root).versions()) == {beside[1].version, *(one.version for one in champions)}
    again = pushed("d", beside=True)
    assert (again.new, again.version) == (False, beside[1].version)  # this model stands there already


def test_a_promoted_challenger_is_served_and_a_rollback_brings_the_old_champion_back(root: str, pushed: Push) -> None:
    old, beside = pushed("a"), pushed("b", beside=True)
    now, before, _ = promotion.promote(root)
    assert before == old
    assert now == versions.current(root)
    assert (model(now), now.version) == ("b", loaded_by_a_server(root))
    assert (now.manifest.promoted_from, now.manifest.challenger) == (beside.version, False)
    versions.verify(now)
    assert versions.challenger(root) is None
    assert history.read(root)[-1].origin == f"promoted from challenger {beside.version}, compared with {old.version}"
    again, *_ = promotion.promote(root, beside.version)
    assert (again, again.new) == (now, False)
    back, _ = rollback.roll_back(root)
    assert model(back) == "a"
    assert back.manifest.promoted_from is None


def test_a_promotion_that_was_killed_before_its_end_is_finished(root: str, pushed: Push, tmp_path: Path) -> None:
    """The copy is served and the challenger is still there: it is removed, and nothing is added."""
    pushed("a")
    beside = pushed("b", beside=True)
    content = {name: versions.content(beside, name) for name in beside.manifest.files}
    now, *_ = promotion.promote(root)
    place = at(root)
    with place.locked():
        versions.add(place, content, beside.manifest.files, beside.manifest, beside.version)
    again, *_ = promotion.promote(root)
    assert (again, again.new) == (now, False)
    assert versions.challenger(root) is None


def test_a_challenger_that_was_compared_with_another_version_is_not_promoted(root: str, pushed: Push) -> None:
    one = pushed("a")
    beside = pushed("b", beside=True)
    two = pushed("c")
    with pytest.raises(versions.Superseded, match=f"version {two.version} is served now, but this run compared"):
        promotion.promote(root)
    assert versions.current(root) == two
    back, _ = rollback.roll_back(root)  # a copy of the version that it was compared with
    assert back.manifest.rolled_back_to == one.version
    assert promotion.promote(root)[0].manifest.promoted_from == beside.version


def test_a_superseded_challenger_is_pushed_anew_and_can_be_promoted(root: str, pushed: Push) -> None:
    pushed("a")
    old = pushed("b", beside=True)
    champion = pushed("c")
    new = pushed("b", beside=True)
    assert (new.new, new.manifest.compared_with) == (True, champion.version)
    assert int(old.version) < int(new.version) < int(champion.version)
    assert model(promotion.promote(root)[0]) == "b"


def test_a_challenger_with_more_beside_it_than_the_same_model_that_is_served_is_promoted(
    root: str, pushed: Push
) -> None:
    old = pushed("a")
    beside = pushed("a", "the card", beside=True)
    assert beside.identity == old.identity
    now, *_ = promotion.promote(root)
    assert (now.new, now.manifest.promoted_from) == (True, beside.version)
    assert versions.content(now, "card.md") == b"the card"


def test_a_challenger_that_was_copied_to_the_largest_number_is_what_is_served(tmp_path: Path) -> None:
    """As a server does, which loads the largest number; a rollback to the copy serves it, not beside the others."""
    root = str(tmp_path / "served")

    def push(content: str, *, beside: bool = False) -> versions.Served:
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "saved_model.pb").write_text(content)
        return versions.push(str(tmp_path / "model"), root, PushedManifest(), as_challenger=beside)

    champion, beside = push("a"), push("b", beside=True)
    copied = str(int(champion.version) + 5)
    shutil.copytree(beside.path, tmp_path / "served" / copied)
    served = versions.current(root)
    assert served is not None
    assert (served.version, model(served)) == (loaded_by_a_server(root), "b") == (copied, "b")
    assert [entry.version for entry in history.read(root)] == [champion.version, copied]
    assert model(rollback.roll_back(root)[0]) == "a"
    again, _ = rollback.roll_back(root, copied)
    assert (again, again.version) == (versions.current(root), loaded_by_a_server(root))
    assert versions.challenger(root) == beside


def test_aliases_that_cannot_be_written_never_name_a_challenger_that_is_gone(
    root: str, pushed: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed("a")
    beside = pushed("b", beside=True)
    versions.tidy(root, None)

    def full(self: Destination, name: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(type(at(root)), "write", full)
        now, _, note = promotion.promote(root)
    assert now == versions.current(root)
    assert note == (
        f"{root}/aliases/models.config may be out of date, and challenger {beside.version} may still be there: No "
        "space left on device; run imagegate promote again"
    )
    labels = {label.key: str(label.value) for label in server_config(root).version_labels}
    assert labels["challenger"] == beside.version
    assert versions.challenger(root) == beside  # so what the file names is there
    again, _, note = promotion.promote(root)
    assert (again, again.new, note) == (now, False, "")
    assert [label.key for label in server_config(root).version_labels] == ["champion"]
    assert versions.challenger(root) is None


def test_old_versions_stay_while_the_aliases_that_may_name_them_cannot_be_written(
    root: str, pushed: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion, first = pushed("a"), pushed("b", beside=True)
    versions.tidy(root, None)
    second = pushed("c", beside=True)

    def full(self: Destination, name: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(type(at(root)), "write", full)
        removed, problem = versions.tidy(root, None)
    assert (removed, problem) == ([], f"{root} cannot be tidied: No space left on device")
    assert set(at(root).versions()) == {champion.version, first.version, second.version}
    assert versions.tidy(root, None) == ([first.version], "")


def test_a_server_is_not_told_to_load_a_damaged_version(root: str, pushed: Push) -> None:
    first, second, third = pushed("a"), pushed("b"), pushed("c")
    beside = pushed("d", beside=True)
    at(root).write(f"{second.version}/imagegate.json", b'{"files": ')
    at(root).write(f"{second.version}/model_card.md", b"of imagegate")
    versions.tidy(root, None)
    loaded = list(server_config(root).model_version_policy.specific.versions)
    assert loaded == [int(third.version), int(first.version), int(beside.version)]


def test_what_cannot_be_promoted_is_named(root: str, pushed: Push) -> None:
    with pytest.raises(versions.NoChampion, match="no version is served"):
        promotion.promote(root)
    with pytest.raises(versions.NoChampion, match="push the first one with"):
        pushed("a", beside=True)
    champion = pushed("a")
    with pytest.raises(ConfigError, match="there is no challenger; "):
        promotion.promote(root)
    beside = pushed("b", beside=True)
    with pytest.raises(ConfigError, match=rf"there is no challenger 7; .* the challengers: {beside.version}; and the"):
        promotion.promote(root, "7")
    with pytest.raises(versions.AnotherName):
        promotion.promote(root, name="fish")
    assert versions.current(root) == champion


def test_a_server_reads_the_aliases_as_version_labels(root: str, pushed: Push) -> None:
    old = pushed("a", name='birds "of\\ prey" ü')
    assert at(root).read(aliases.FOLDER, aliases.CONFIG_FILE) is None  # only where there is a challenger
    beside = pushed("b", beside=True, name='birds "of\\ prey" ü')
    versions.tidy(root, 5)
    told = server_config(root)
    assert (told.name, told.base_path, told.model_platform) == ('birds "of\\ prey" ü', root, "tensorflow")
    labels = {label.key: label.value for label in told.version_labels}
    assert labels == {"champion": int(old.version), "challenger": int(beside.version)}
    assert list(told.model_version_policy.specific.versions) == [int(old.version), int(beside.version)]
    now, *_ = promotion.promote(root)
    told = server_config(root)
    assert {label.key: label.value for label in told.version_labels} == {"champion": int(now.version)}
    # The version before stays loaded, so that the label can move once the new one is loaded.
    assert list(told.model_version_policy.specific.versions) == [int(now.version), int(old.version)]
    back, _ = rollback.roll_back(root)
    assert {label.key: label.value for label in server_config(root).version_labels} == {"champion": int(back.version)}
