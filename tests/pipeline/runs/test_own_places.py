"""A data root that also holds the configuration, the runs and the pushed models; and hidden files in it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prepared import ingest

from components.base.errors import ConfigError
from components.data.dataset import Dataset, LayoutError, Record
from components.ingest.layouts import reading
from components.ingest.settings import Source
from components.ingest.unlabelled import listing
from pipeline import cli, config
from pipeline.runs import data

Png = Callable[..., bytes]
WriteFiles = Callable[..., Path]
LAYOUTS = Path(__file__).parents[3] / "docs" / "layouts.md"


def shown(section: str) -> str:
    """The configuration that a section of docs/layouts.md shows."""
    text = LAYOUTS.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2]
    return re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]


def project(folder: Path, **sections: Any) -> config.Config:
    told = {"name": "pets", "task": "single_label", "data": {"root": "."}, "push": {"destination": "models/pets"}}
    (folder / "pets.yaml").write_text(yaml.safe_dump(told | sections))
    return config.load(str(folder / "pets.yaml"))


def read(settings: config.Config) -> Dataset:
    """As a stage reads it: from JSON."""
    return reading.read(Source.from_json(settings.source.to_json()))[0]


@pytest.fixture
def root(tmp_path: Path, write_files: WriteFiles, png: Png) -> Path:
    return write_files(tmp_path / "pets", {path: png(i) for i, path in enumerate(PATHS)})


PETS = ("cat", "dog")
OWN = "left out of the data set, since they are the project's own"
PATHS = [f"{label}/{i}.png" for label in PETS for i in "12345"]


def leave_a_run(root: Path, write_files: WriteFiles, png: Png, name: str = "pets") -> None:
    """What a run of this name writes, with an image in each place."""
    write_files(root, {f"runs/{name}/history/1/log.txt": b"x", f"runs/{name}/history/1/worst.png": png(99)})
    write_files(root, {f"models/{name}/1/model.pb": b"x", f"models/{name}/1/example.png": png(98)})


def test_runs_and_models_in_the_root_are_no_labels_and_change_nothing(
    root: Path, write_files: WriteFiles, png: Png
) -> None:
    settings = project(root)
    before = read(settings)
    assert before.labels == PETS
    assert [r.path for r in before.records] == PATHS
    assert before.notes == (
        "left out of the data set, since they are the project's own: pets.yaml (the configuration)",
    )

    leave_a_run(root, write_files, png)
    after = read(settings)
    assert after.fingerprint() == before.fingerprint()
    assert (after.labels, after.records, after.ignored) == (before.labels, before.records, ())
    assert after.notes == (f"{OWN}: models (push.destination), pets.yaml (the configuration), runs (output)",)


def test_ingest_into_the_root_finds_the_same_data_twice(root: Path) -> None:
    settings = project(root)
    first = ingest(read(settings), root / "runs" / "pets" / "artifacts" / "1")
    second = ingest(read(settings), root / "runs" / "pets" / "artifacts" / "2")
    assert [f.sha256 for f in first.files] == [f.sha256 for f in second.files]
    assert sum(first.counts.values()) == 10


def test_folders_that_were_made_but_are_empty_are_no_labels(root: Path) -> None:
    for folder in ("runs/pets", "models/pets"):
        (root / folder).mkdir(parents=True)
    assert read(project(root)).labels == PETS
    (root / "runs" / "pets").rmdir()
    assert read(project(root)).labels == PETS


def test_the_runs_of_another_configuration_are_no_labels(root: Path, write_files: WriteFiles) -> None:
    write_files(root, {"runs/dogs/history/1/log.txt": b"", "models/dogs/1/model.pb": b""})
    dataset = read(project(root))
    assert (dataset.labels, dataset.ignored) == (PETS, ())


def test_a_label_may_be_called_runs(root: Path, write_files: WriteFiles, png: Png) -> None:
    leave_a_run(root, write_files, png)
    write_files(root, {"runs/1.png": png(50)})
    dataset = read(project(root))
    assert dataset.labels == ("cat", "dog", "runs")
    assert [r.path for r in dataset.records if r.labels == ("runs",)] == ["runs/1.png"]
    assert "runs/pets (output)" in dataset.notes[0]


def test_a_link_to_where_there_is_room_is_skipped_like_a_folder(
    root: Path, tmp_path: Path, write_files: WriteFiles, png: Png
) -> None:
    (tmp_path / "large").mkdir()
    for name in ("runs", "models"):
        (tmp_path / "large" / name).mkdir()
        (root / name).symlink_to(f"../large/{name}")
    before = read(project(root))
    leave_a_run(root, write_files, png)
    after = read(project(root))
    assert (after.labels, after.rejected) == (PETS, ())
    assert after.fingerprint() == before.fingerprint()


def test_images_of_none_of_the_labels_may_lie_in_the_root(root: Path, write_files: WriteFiles, png: Png) -> None:
    write_files(root, {"others/1.png": png(60)})
    dataset = read(project(root, evaluation={"out_of_distribution": "others"}))
    assert dataset.labels == PETS
    assert "others (evaluation.out_of_distribution)" in dataset.notes[0]


def test_images_without_labels_in_the_root_are_no_label_and_not_ignored(
    root: Path, write_files: WriteFiles, png: Png
) -> None:
    write_files(root, {f"extra/pool/{i}.png": png(60 + i) for i in range(3)})
    settings = project(root, data={"root": ".", "unlabelled": "extra/pool"})
    dataset = read(settings)
    assert (dataset.labels, dataset.ignored) == (PETS, ())
    assert dataset.notes == (
        f"{OWN}: pets.yaml (the configuration)",
        "left out of the data set, since its images are those without labels: extra (data.unlabelled)",
    )
    assert [record.path for record in pool_of(settings)] == ["0.png", "1.png", "2.png"]


TABLE = {"layout": "manifest", "manifest": "labels.csv", "images": "."}


@pytest.mark.parametrize(
    ("pool", "files", "left", "ignored"),
    [
        # Of the pool's three images, the table names one. Each label's other four images are in no row.
        ("pool", {}, "2 files below pool", 8),
        # The pool holds all images: 3 of its own and 10 in the folders, less the three of the table.
        (".", {}, "10 files below data.root", 0),
        ("elsewhere", {"elsewhere/1.txt": b"x"}, "1 file below elsewhere", 8 + 2),
    ],
)
def test_images_without_labels_among_those_of_a_table_are_not_ignored(
    root: Path, write_files: WriteFiles, png: Png, pool: str, files: dict[str, bytes], left: str, ignored: int
) -> None:
    rows = b"file_name,label\ncat/1.png,cat\ndog/1.png,dog\npool/0.png,dog\n"
    write_files(root, {f"pool/{i}.png": png(60 + i) for i in range(3)} | {"labels.csv": rows} | files)
    settings = project(root, data={"root": ".", "unlabelled": pool} | TABLE)
    dataset = read(settings)
    assert [record.path for record in dataset.records] == ["cat/1.png", "dog/1.png", "pool/0.png"]
    assert len(dataset.ignored) == ignored
    reason = "left out of the data set, since they are among the images without labels"
    assert dataset.notes[-1] == f"{reason}: {left} (data.unlabelled)"
    assert len(pool_of(settings)) == {"pool": 3, ".": 13, "elsewhere": 0}[pool]


def test_masks_that_no_image_has_are_no_images_without_labels(root: Path, write_files: WriteFiles, png: Png) -> None:
    """The pool is the root. Of its masks, 9.png has no image."""
    write_files(root, {"masks/1.png": png(1), "masks/9.png": png(2)})
    masks = {"root": ".", "layout": "masks", "images": "cat", "masks": "masks", "unlabelled": "."}
    dataset = read(project(root, task="segmentation", data=masks, labels={"names": ["a", "b"]}))
    assert dataset.ignored == ("masks/9.png",)


def pool_of(settings: config.Config) -> tuple[Record, ...]:
    assert settings.pool is not None
    return listing.read(settings.pool).records


def test_other_layouts_skip_them_too(root: Path, write_files: WriteFiles, png: Png) -> None:
    leave_a_run(root, write_files, png)
    write_files(root, {"meta/labels.csv": b"file_name,label\ncat/1.png,cat\ndog/1.png,dog\nruns/pets/x.png,dog\n"})
    columns = {"layout": "manifest", "manifest": "meta/labels.csv", "images": "."}
    dataset = read(project(root, data={"root": "."} | columns, output="meta/runs"))
    assert [r.path for r in dataset.records] == ["cat/1.png", "dog/1.png"]
    assert "runs/pets/history/1/worst.png" in dataset.ignored  # output is elsewhere now


def test_what_is_missing_may_be_what_was_left_out(root: Path) -> None:
    data = {"root": ".", "layout": "masks", "images": "cat", "masks": "dog"}
    settings = project(root, task="segmentation", data=data, labels={"names": ["a", "b"]}, output="dog")
    with pytest.raises(LayoutError, match=r"data.masks: .*\. Left out of the data set, since .*: dog \(output\)"):
        read(settings)


def test_a_root_behind_a_url_may_hold_the_models(png: Png) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    for i, path in enumerate(["cat/1.png", "dog/1.png", "models/pets/1/example.png"]):
        store.pipe_file(f"/pets/{path}", png(i))
    told = {"name": "pets", "task": "single_label", "folder": "/elsewhere"}
    told |= {"data": {"root": "memory://pets"}, "push": {"destination": "memory://pets/models/pets"}}
    dataset = read(config.validated(told))
    store.rm("/pets", recursive=True)
    assert dataset.labels == PETS
    assert [r.path for r in dataset.records] == ["cat/1.png", "dog/1.png"]


def test_nothing_is_written_into_an_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"")
    for sections in ({"output": "a.zip/runs"}, {"push": {"destination": "a.zip/models"}}):
        with pytest.raises(ConfigError, match=r"a\.zip/\w+ lies in an archive, in which nothing is written"):
            project(tmp_path, data={"root": "a.zip"}, **sections)


def test_hidden_files_are_counted_and_named(root: Path, write_files: WriteFiles) -> None:
    litter = [
        "__MACOSX/._1.png",
        "cat/@eaDir/1.png/thumb.jpg",
        "cat/._1.png",
        "dog/Thumbs.db",
        ".git/x",
        "lost+found/1.png",
    ]
    write_files(root, dict.fromkeys(litter, b""))
    (root / "$RECYCLE.BIN").mkdir()
    (root / "System Volume Information").mkdir()
    (root / "Icon\r").touch()
    dataset = read(project(root))
    assert (dataset.labels, len(dataset.records), dataset.ignored) == (PETS, 10, ())
    # The six above, two folders and a file.
    assert dataset.notes[1] == (
        "9 files or folders were left aside, hidden or of a file manager: "
        r"$RECYCLE.BIN, .git, Icon\r, System Volume Information, __MACOSX, and 4 more"
    )


def test_check_passes_twice_on_the_documented_root_that_holds_everything(
    root: Path, write_files: WriteFiles, png: Png, capsys: pytest.CaptureFixture[str]
) -> None:
    told = shown("A data root that holds everything")
    none = {"min_examples": None, "min_eval_examples": None}
    (root / "pets.yaml").write_text(told + yaml.safe_dump({"balance": none}))
    settings = config.load(str(root / "pets.yaml"))
    code = cli.main(["check", str(root / "pets.yaml")])
    first = capsys.readouterr().out
    fingerprint = data.read_dataset(settings)[0].fingerprint()
    leave_a_run(root, write_files, png)
    assert (cli.main(["check", str(root / "pets.yaml")]), code) == (0, 0), first
    assert "models (push.destination), pets.yaml (the configuration), runs (output)" in capsys.readouterr().out
    assert data.read_dataset(settings)[0].fingerprint() == fingerprint


def test_the_documented_archive_is_read(tmp_path: Path, root: Path, png: Png) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "clothes.zip", "w") as archive:
        for i, label in enumerate(["shirt", "hat"]):
            archive.writestr(f"clothes/{label}/0001.png", png(i))
    (tmp_path / "clothes.yaml").write_text(shown("Archives"))
    dataset = read(config.load(str(tmp_path / "clothes.yaml")))
    assert dataset.labels == ("hat", "shirt")
    assert [r.path for r in dataset.records] == ["hat/0001.png", "shirt/0001.png"]
