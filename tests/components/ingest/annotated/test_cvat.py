"""CVAT's XML files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from annotated_sets import Stored, reader

from components.base.errors import ConfigError
from components.data.dataset import LayoutError

Read = Callable[..., Stored]
DATA = {"layout": "cvat", "annotations": "annotations.xml", "images": "images"}
NAMES = "<label><name>{}</name><attributes><attribute><name>x</name></attribute></attributes></label>"
META = f"<meta><task><labels>{''.join(NAMES.format(name) for name in ('cat', 'dog', 'emu'))}</labels></task></meta>"


@pytest.fixture
def read(tmp_path: Path, png: Callable[..., bytes]) -> Read:
    return reader(tmp_path, png)


def document(*images: str) -> str:
    inside = f"<version>1.1</version>{META}{''.join(images)}"
    return f'<?xml version="1.0" encoding="utf-8"?><annotations>{inside}</annotations>'


def image(name: str, *shapes: str, subset: str = "", width: int = 4, height: int = 3) -> str:
    more = f' subset="{subset}"' if subset else ""
    return f'<image id="0" name="{name}"{more} width="{width}" height="{height}">{"".join(shapes)}</image>'


def box(label: str, x1: float, y1: float, x2: float, y2: float, z: int = 0, more: str = "") -> str:
    inner = '<attribute name="x">1</attribute>'
    return f'<box label="{label}" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}" z_order="{z}"{more}>{inner}</box>'


def polygon(label: str, points: str, z: int = 0) -> str:
    return f'<polygon label="{label}" points="{points}" z_order="{z}"></polygon>'


def mask(label: str, rle: str, left: int, top: int, width: int, height: int) -> str:
    where = f'left="{left}" top="{top}" width="{width}" height="{height}"'
    return f'<mask label="{label}" rle="{rle}" {where} z_order="0"/>'


def tag(label: str) -> str:
    return f'<tag label="{label}" source="manual"></tag>'


def files(text: str, *names: str) -> dict[str, Any]:
    return {"annotations.xml": text, **{f"images/{name}": None for name in names}}


def test_tags_and_shapes_are_labels(read: Read) -> None:
    text = document(
        image("a.jpg", tag("cat"), box("dog", 0, 0, 1, 1), '<points label="dog" points="1,1" z_order="0"/>'),
        image("sub/b.jpg"),
    )
    found = read(files(text, "a.jpg", "sub/b.jpg", "c.jpg"), "multi_label", DATA)
    assert found.dataset.labels == ("cat", "dog")
    assert found.labels == {"images/a.jpg": ("cat", "dog"), "images/sub/b.jpg": ()}
    assert found.dataset.ignored == ("images/c.jpg",)
    assert found.dataset.notes == (
        "1 attribute of an object was left out",
        "1 image has no annotation, so that none of the labels applies: images/sub/b.jpg",
        "1 declared label is in no image and was left out: emu",
    )


def test_tags_are_single_labels(read: Read) -> None:
    text = document(
        image("a.jpg", tag("cat"), polygon("dog", "0,0;1,0;1,1")),
        image("b.jpg", tag("dog")),
        image("c.jpg"),
        image("d.jpg", tag("dog"), tag("cat")),
    )
    found = read(files(text, "a.jpg", "b.jpg", "c.jpg", "d.jpg"), "single_label", DATA)
    assert found.labels == {"images/a.jpg": ("cat",), "images/b.jpg": ("dog",), "images/c.jpg": ()}
    assert found.unknown == {"images/c.jpg"}
    assert "has the labels 'cat', 'dog'; this task needs one" in found.rejected["images/d.jpg"]
    assert "1 box or region was left out: the labels of images are tags" in found.dataset.notes


def test_subsets_are_splits(read: Read) -> None:
    text = document(
        image("a.jpg", tag("cat"), subset="Train"),
        image("a.jpg", tag("dog"), subset="Validation"),
        image("b.jpg", tag("dog"), subset="spare"),
    )
    found = read(files(text, "Train/a.jpg", "Validation/a.jpg", "b.jpg"), "single_label", DATA)
    assert found.labels == {
        "images/Train/a.jpg": ("cat",),
        "images/Validation/a.jpg": ("dog",),
        "images/b.jpg": ("dog",),
    }
    assert found.splits == {"images/Train/a.jpg": None, "images/Validation/a.jpg": "eval", "images/b.jpg": None}
    assert "1 image is of a subset that is no split, so that its split is decided by hash: b.jpg (spare)" in (
        found.dataset.notes
    )


def test_run_lengths_are_of_the_box_by_rows(read: Read) -> None:
    # The box has 2 rows of 3 from (1, 1): one pixel off, two on, one off, two on.
    text = document(
        image("a.png", mask("cat", "1, 2, 1, 2", 1, 1, 3, 2)), image("b.png", mask("dog", "0,12", 0, 0, 4, 3))
    )
    found = read(files(text, "a.png", "b.png"), "segmentation", DATA, {"background": "ground"})
    assert found.dataset.labels == ("cat", "dog", "ground")
    assert found.masks == {
        "images/a.png": [[2, 2, 2, 2], [2, 2, 0, 0], [2, 2, 0, 0]],
        "images/b.png": [[1] * 4] * 3,
    }


def test_shapes_are_drawn_by_z_order_then_as_in_the_file(read: Read) -> None:
    text = document(
        image(
            "a.png",
            polygon("dog", "0,0;2,0;2,3;0,3", z=1),  # the left half
            box("cat", 0, 0, 4, 1, z=0),  # the first row, below
            '<ellipse label="emu" cx="3.5" cy="2.5" rx="0.6" ry="0.6" z_order="0"/>',  # the last pixel
            '<polyline label="emu" points="0,0;4,3" z_order="9"/>',
        ),
        image("b.png", polygon("dog", "0,0;4,0;4,3;0,3"), box("cat", 1, 0, 3, 1, more=' rotation="90"')),
    )
    found = read(files(text, "a.png", "b.png"), "segmentation", DATA, {"background": "ground"})
    assert found.masks == {
        "images/a.png": [[1, 1, 0, 0], [1, 1, 3, 3], [1, 1, 3, 2]],
        # The box of 2 x 1 around (2, 0.5), after a quarter turn 1 x 2, from x 1.5 to 2.5 and above the image to y 1.5:
        # the centre 1.5 is on its left edge, which belongs to it, and 2.5 on its right edge, which does not.
        "images/b.png": [[1, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]],
    }
    assert "1 line, point or cuboid covers no pixels and was left out: a.png" in found.dataset.notes


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (polygon("cat", "0,0;1,1"), "of 3 points or more"),
        (polygon("cat", "0,0;1,x;2,2"), "expected a finite number, got 'x'"),
        (polygon("", "0,0;1,1;2,2"), "polygon 1: has no label"),
        ('<box label="cat" xtl="0"/>', "box 1: ytl: expected a finite number, got 'None'"),
        ('<mask label="cat" rle="1" left="0.5" top="0" width="1" height="1"/>', "left: expected a whole number"),
        ('<blob label="cat"/>', "is no known shape"),
    ],
)
def test_a_broken_shape_rejects_its_image(read: Read, shape: str, reason: str) -> None:
    text = document(image("a.png", shape), image("b.png", polygon("cat", "0,0;1,0;1,1")))
    found = read(files(text, "a.png", "b.png"), "segmentation", DATA, {"background": "ground"})
    assert list(found.labels) == ["images/b.png"]
    assert reason in found.rejected["images/a.png"]


def test_masks_that_do_not_fit_are_refused_when_they_are_drawn(read: Read) -> None:
    text = document(
        image("a.png", mask("cat", "1, 2", 1, 1, 3, 2)),
        image("b.png", mask("cat", "0, 12", 2, 0, 4, 3)),
        image("c.png", mask("cat", "0, 12", 0, 0, 4, 3), width=8, height=6),
    )
    masks = read(files(text, "a.png", "b.png", "c.png"), "segmentation", DATA, {"background": "ground"}).masks
    assert "run lengths must be 0 or more and sum to 6" in masks["images/a.png"]
    assert "is not inside the image" in masks["images/b.png"]
    assert "8 x 6 pixels" in masks["images/c.png"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation/>", "expected <annotations> of CVAT for images, got <annotation>"),
        ('<annotations><track id="0"/></annotations>', "holds the tracks of a video; export it"),
        ("<annotations>", "not valid XML"),
        ("<annotations/>", "names no image"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "document type or entities"),
    ],
)
def test_another_file_is_refused(read: Read, text: str, reason: str) -> None:
    with pytest.raises(LayoutError, match=reason):
        read(files(text, "a.png"), "multi_label", DATA)
    with pytest.raises(ConfigError, match=r"data\.annotations: gone\.xml: there is no such file"):
        read(files(text, "a.png"), "multi_label", DATA | {"annotations": "gone.xml"})
