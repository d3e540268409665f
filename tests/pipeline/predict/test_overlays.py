"""The names of overlays: below their folder, and no two the same, whatever the images are called."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.predict import overlays, written

NAMES = {
    "an image's ending goes": (["a.jpg", "b/c.TIFF", "d"], ["a.png", "b/c.png", "d.png"]),
    "another one stays": (["v1.2"], ["v1.2.png"]),
    "collisions are counted": (["a.jpg", "a.png", "a-2.png", "a.gif"], ["a.png", "a-2.png", "a-2-2.png", "a-3.png"]),
    "the legend's name is taken": (["legend.jpg", "b/legend.jpg"], ["legend-2.png", "b/legend.png"]),
    "case is no difference": (["A.png", "a.png"], ["A.png", "a-2.png"]),
    "composition is no difference": (["\u00fc.png", "u\u0308.png"], ["\u00fc.png", "u\u0308-2.png"]),
    "a folder keeps its name": (["a.jpg", "a.png/b.png"], ["a-2.png", "a.png/b.png"]),
    "nothing leads out": (["/etc/x.png", "../../y.png", "a//../z.png"], ["etc/x.png", "y.png", "a/z.png"]),
}


def written_names(paths: list[str]) -> list[str]:
    return written.names(paths, [".png"] * len(paths), [overlays.LEGEND])


@pytest.mark.parametrize(("paths", "expected"), NAMES.values(), ids=NAMES)
def test_an_overlay_is_named_after_its_image(paths: list[str], expected: list[str]) -> None:
    assert written_names(paths) == expected


def test_many_of_one_name_are_named_quickly() -> None:
    found = written_names(["000.png"] * 20_000)  # in seconds if each tried every number before
    assert found[-1] == "000-20000.png"
    assert len(set(found)) == 20_000


parts = st.sampled_from(["a", "A", "a-2", "a.png", "a.png.png", "legend", "legend.jpg", "..", ".", "", "b.txt", "\x1b"])


@given(st.lists(st.lists(parts, min_size=1, max_size=3).map("/".join), max_size=12))
def test_every_image_gets_a_file_of_its_own_below_the_folder(paths: list[str]) -> None:
    found = written_names(paths)
    assert len(found) == len(paths)
    files = {name.lower() for name in found}
    folders = {posixpath.join(*name.lower().split("/")[:i]) for name in found for i in range(1, name.count("/") + 1)}
    assert len(files) == len(paths)
    assert not files & (folders | {overlays.LEGEND})
    for name in found:
        assert name.endswith(".png")
        assert posixpath.normpath(name) == name
        assert not name.startswith(("/", "../"))
