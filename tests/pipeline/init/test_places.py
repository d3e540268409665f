"""Where `init` looks for the data, and where it writes: beside them, never inside."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from components.base.errors import ConfigError
from pipeline.init import places

WriteFiles = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.fixture
def pets(tmp_path: Path, write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `pets` with images and a table, and an archive beside it; the current folder is another one."""
    write_files(tmp_path, {"pets/images/1.jpg": b"x", "pets/labels.csv": b"", "pets.tar.gz": b"", "here/x": b""})
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "pets"


def test_a_folder_gets_its_configuration_beside_it(pets: Path) -> None:
    for path in (str(pets), f"{pets}/", "../pets", f"{pets}/../pets/."):
        place = places.place(path)
        assert (place.root, place.start, place.name) == (str(pets), "", "pets")
        assert (place.config, place.written_root) == (f"{pets}.yaml", "pets")


def test_the_current_folder_gets_it_beside_it_too(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pets)
    assert places.place(".").config == f"{pets}.yaml"
    assert places.shown_path(f"{pets}.yaml") == "../pets.yaml"


def test_an_archive_gets_it_beside_it(pets: Path) -> None:
    place = places.place(f"{pets}.tar.gz")
    assert (place.root, place.name, place.config) == (f"{pets}.tar.gz", "pets", f"{pets}.yaml")
    assert place.written_root == "pets.tar.gz"


def test_a_table_stands_for_the_folder_with_its_images(pets: Path, write_files: WriteFiles) -> None:
    place = places.place(str(pets / "labels.csv"))
    assert (place.root, place.start, place.config) == (str(pets), "labels.csv", f"{pets}.yaml")
    write_files(pets.parent, {"coco/annotations/train.json": b"", "coco/train/1.jpg": b"x"})
    place = places.place(str(pets.parent / "coco" / "annotations" / "train.json"))
    assert (place.root, place.start) == (str(pets.parent / "coco"), "annotations/train.json")
    assert place.config == str(pets.parent / "coco.yaml")


def test_a_parquet_file_holds_its_images_and_is_the_data_set(pets: Path, write_files: WriteFiles) -> None:
    write_files(pets.parent, {"sets/cats.parquet": b""})
    place = places.place(str(pets.parent / "sets" / "cats.parquet"))
    assert (place.root, place.start, place.name) == (str(pets.parent / "sets"), "cats.parquet", "cats")
    assert place.config == str(pets.parent / "sets" / "cats.yaml")


def test_a_url_and_a_place_that_cannot_be_written_get_it_in_the_current_folder(pets: Path) -> None:
    here = pets.parent / "here"
    place = places.place("s3://bucket/birds/")
    assert (place.root, place.written_root, place.name) == ("s3://bucket/birds", "s3://bucket/birds", "birds")
    assert place.config == str(here / "birds.yaml")
    pets.parent.chmod(0o555)  # also root, who could write there, is kept from it
    try:
        place = places.place(str(pets))
        assert (place.config, place.written_root) == (str(here / "pets.yaml"), str(pets))
    finally:
        pets.parent.chmod(0o755)


def test_another_place_can_be_named(pets: Path) -> None:
    place = places.place(str(pets), "mine.yaml")
    assert (place.config, place.written_root) == (str(pets.parent / "here" / "mine.yaml"), str(pets))


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("my data", "my-data"),
        ("日本", "images"),
        (".hidden", "hidden"),
        ("-rf", "rf"),
        ("2024", "2024"),
        ("a.b", "a.b"),
    ],
)
def test_a_folder_of_any_name_gives_a_name_that_a_pipeline_may_have(tmp_path: Path, folder: str, name: str) -> None:
    (tmp_path / folder).mkdir()
    place = places.place(str(tmp_path / folder))
    assert place.name == name
    assert place.config == f"{tmp_path}/{folder.lstrip('.')}.yaml"


@pytest.mark.parametrize(
    ("root", "config", "output", "destination"),
    [
        ("pets", None, "runs/pets", "models/pets"),
        ("models", None, "runs/models", "imagegate-models/models"),
        ("runs", None, "imagegate-runs/runs", "models/runs"),
        ("link", None, "runs/link", "models/link"),  # models/link is not in models/pets
        ("models/pets", "pets.yaml", "runs/pets", "imagegate-models/pets"),
        ("models/pets", None, "runs/pets", "models/pets"),  # beside the data: models/models/pets
        ("runs/pets/cats", "pets.yaml", "runs/cats", "models/cats"),
        ("pets", "pets/pets.yaml", "runs/pets", "models/pets"),  # inside the data, where listings skip them
        ("models", "models/models.yaml", "runs/models", "models/models"),
    ],
)
def test_runs_and_models_go_outside_the_data(
    tmp_path: Path, root: str, config: str | None, output: str, destination: str
) -> None:
    for folder in ("pets", "models/pets", "runs/pets/cats"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "models" / "pets")
    place = places.place(str(tmp_path / root), None if config is None else str(tmp_path / config))
    assert (place.output, place.destination) == (output, destination)


def test_what_is_no_data_set_is_refused_in_one_sentence(pets: Path, write_files: WriteFiles) -> None:
    with pytest.raises(ConfigError, match="none does not exist; expected a folder of images, an archive"):
        places.place("none")
    write_files(pets.parent, {"a.jpg": b""})
    with pytest.raises(ConfigError, match=r"a.jpg is a file that init does not know; expected a folder, an archive"):
        places.place(str(pets.parent / "a.jpg"))


def test_a_data_set_is_told_from_a_configuration(pets: Path) -> None:
    assert places.is_data(str(pets))
    assert places.is_data(f"{pets}.tar.gz")
    assert places.is_data(str(pets / "labels.csv"))
    assert places.is_data("gs://bucket/x")
    assert not places.is_data(f"{pets}.yaml")
    assert not places.is_data("none.csv")
