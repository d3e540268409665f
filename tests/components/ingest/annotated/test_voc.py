"""Pascal VOC's XML files, whose objects are labels."""

from collections.abc import Callable
from pathlib import Path

import pytest
from annotated_sets import Stored, reader

from components.base.errors import ConfigError
from components.data.dataset import LayoutError

Read = Callable[..., Stored]
DATA = {"layout": "voc", "annotations": "Annotations", "images": "JPEGImages"}


@pytest.fixture
def read(tmp_path: Path, png: Callable[..., bytes]) -> Read:
    return reader(tmp_path, png)


def xml(*names: str, filename: str = "", more: str = "") -> str:
    objects = "".join(
        f"<object><name>{name}</name><difficult>1</difficult><part><name>head</name></part>"
        "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>2</ymax></bndbox></object>"
        for name in names
    )
    size = "<size><width>4</width><height>3</height><depth>3</depth></size>"
    return f"<annotation><filename>{filename}</filename>{size}{objects}{more}</annotation>"


def test_objects_are_labels_and_lists_are_splits(read: Read) -> None:
    files = {
        "Annotations/a.xml": xml("dog", "cat", "dog"),
        "Annotations/b.xml": xml(),
        "Annotations/sub/c.xml": xml("no"),
        "Annotations/d.xml": xml("emu"),
        "JPEGImages/a.jpg": None,
        "JPEGImages/b.jpg": None,
        "JPEGImages/sub/c.jpg": None,
        "JPEGImages/d.jpg": None,
        "ImageSets/Main/train.txt": "a\nsub/c.jpg\n",
        "ImageSets/Main/val.txt": "b -1\n",
    }
    lists = {"train": "ImageSets/Main/train.txt", "val": "ImageSets/Main/val.txt"}
    found = read(files, "multi_label", DATA | {"lists": lists})
    assert found.dataset.labels == ("cat", "dog", "no")
    assert found.labels == {"JPEGImages/a.jpg": ("cat", "dog"), "JPEGImages/b.jpg": (), "JPEGImages/sub/c.jpg": ("no",)}
    assert found.splits == {"JPEGImages/a.jpg": None, "JPEGImages/b.jpg": "eval", "JPEGImages/sub/c.jpg": None}
    assert found.dataset.ignored == ("JPEGImages/d.jpg",)
    assert found.dataset.notes == (
        "ImageSets/Main/train.txt: 1 lines have a path or an extension; images are found by name",
        "ImageSets/Main/val.txt: 1 lines have 1, 0 or -1 behind the name, which is not used",
        "1 XML file is of images that data.lists does not name, and was left out",
    )


def test_without_lists_all_files_count_and_images_without_one_are_left_out(read: Read) -> None:
    files = {
        "Annotations/a.xml": xml("dog"),
        "Annotations/b.xml": xml("cat", filename="IMG 7.JPG"),  # named by the file only
        "JPEGImages/a.png": None,
        "JPEGImages/IMG 7.jpg": None,
        "JPEGImages/c.png": None,
    }
    found = read(files, "multi_label", DATA)
    assert found.labels == {"JPEGImages/IMG 7.jpg": ("cat",), "JPEGImages/a.png": ("dog",)}
    assert found.dataset.ignored == ("JPEGImages/c.png",)
    assert found.dataset.notes[0].startswith("1 image was found by the end of its path")
    assert found.dataset.notes[1] == (
        "1 image has no XML file, so that nobody annotated it, and was left out: JPEGImages/c.png"
    )


def test_files_beside_the_images(read: Read) -> None:
    files = {"train/a.xml": xml("dog"), "train/a.jpg": None, "val/b.xml": xml("cat"), "val/b.jpg": None}
    found = read(files, "multi_label", {"layout": "voc", "annotations": "."})
    assert found.labels == {"train/a.jpg": ("dog",), "val/b.jpg": ("cat",)}
    images = {"train": "train", "val": "val"}
    split = read(files, "multi_label", {"layout": "voc", "annotations": ".", "images": images})
    assert split.labels == found.labels
    assert split.splits == {"train/a.jpg": None, "val/b.jpg": "eval"}
    with pytest.raises(ConfigError, match=r"data\.lists: data\.images already has one folder per split"):
        read(files, "multi_label", {"layout": "voc", "annotations": ".", "images": images, "lists": "x.txt"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation><object>", "not valid XML"),
        ("<annotations/>", "expected an <annotation> of Pascal VOC, got <annotations>"),
        (xml(" "), "object 1 has no name"),
        (
            '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + xml("&b;"),
            "has a document type or entities, which are not read",
        ),
        ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + xml("&a;"), "has a document type or entities"),
    ],
)
def test_a_file_that_cannot_be_read_rejects_its_image(read: Read, text: str, reason: str) -> None:
    files = {
        "Annotations/a.xml": text,
        "Annotations/b.xml": xml("cat"),
        "JPEGImages/a.jpg": None,
        "JPEGImages/b.jpg": None,
    }
    found = read(files, "multi_label", DATA)
    assert list(found.labels) == ["JPEGImages/b.jpg"]
    assert (
        f"Annotations/a.xml: {reason}" in found.rejected["JPEGImages/a.jpg"]
        or reason in found.rejected["JPEGImages/a.jpg"]
    )


def test_names_that_lead_nowhere_are_rejected(read: Read) -> None:
    files = {
        "Annotations/a.xml": xml("cat", filename="../../etc/a.jpg"),
        "Annotations/b.xml": xml("cat"),
        "Annotations/c.xml": xml("dog"),
        "JPEGImages/c.jpg": None,
        "train.txt": "a\nb\nc\nd\n",
    }
    found = read(files, "multi_label", DATA | {"lists": "train.txt"})
    assert list(found.labels) == ["JPEGImages/c.jpg"]
    assert "there is no such file" in found.rejected["../../etc/a.jpg"]
    assert "there is no image of this name, and Annotations/b.xml names none" in found.rejected["Annotations/b"]
    assert "is listed, but there is no such XML file" in found.rejected["d"]


def test_an_image_in_two_lists_is_refused(read: Read) -> None:
    files = {"Annotations/a.xml": xml("cat"), "JPEGImages/a.jpg": None, "1.txt": "a", "2.txt": "a\n"}
    with pytest.raises(LayoutError, match=r"2\.txt: 'a' is also in the list of train; remove it from one of the two"):
        read(files, "multi_label", DATA | {"lists": {"train": "1.txt", "val": "2.txt"}})
    with pytest.raises(LayoutError, match=r"there is no XML file below JPEGImages"):
        read(files, "multi_label", DATA | {"annotations": "JPEGImages"})
    with pytest.raises(ConfigError, match=r"annotations: layout voc takes one path; got one per split"):
        read(files, "multi_label", DATA | {"annotations": {"train": "Annotations"}})
