"""What IMAGE arguments mean."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.predict import inputs

FILES = (
    "b.png",
    "a.JPG",
    "notes.txt",
    "sub/c.tif",
    "sub/deep/a.webp",
    "sub/deep/no_ending",
    ".hidden.png",
    ".git/x.png",
    "Thumbs.db",
)


@pytest.fixture
def photos(tmp_path: Path, write_files: Callable, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_files(tmp_path / "photos", dict.fromkeys(FILES, b"x"))


def named(*arguments: str, without: str | None = None) -> list[str]:
    found, _ = inputs.expand(arguments, [without] if without else [])
    assert [i for i in found if i.problem] == []
    return [i.name for i in found]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("folder", ["photos", "photos/", "./photos", ".", "{absolute}"])
def test_a_folder_means_all_images_below_it_sorted(folder: str, tmp_path: Path) -> None:
    folder = folder.format(absolute=tmp_path / "photos")
    found, notes = inputs.expand([folder])
    prefix = "photos/" if folder == "." else ""
    expected = [prefix + name for name in ("a.JPG", "b.png", "sub/c.tif", "sub/deep/a.webp", "sub/deep/no_ending")]
    assert [i.relative for i in found] == expected
    assert [i.name for i in found] == [f"{folder.rstrip('/')}/{name}" for name in expected]
    assert notes == [f"{folder}: skipped 1 file without an image extension: {prefix}notes.txt"]


PATTERNS = {
    "photos/*.png": ["photos/b.png"],
    "photos/?.*": ["photos/a.JPG", "photos/b.png"],
    "photos/[!b].JPG": ["photos/a.JPG"],
    "photos/**/a.*": ["photos/a.JPG", "photos/sub/deep/a.webp"],
    "photos/**/*.[pt]*": ["photos/b.png", "photos/notes.txt", "photos/sub/c.tif"],
    "photos/s*": ["photos/sub/c.tif", "photos/sub/deep/a.webp", "photos/sub/deep/no_ending"],
    "photos/**": [
        "photos/a.JPG",
        "photos/b.png",
        "photos/sub/c.tif",
        "photos/sub/deep/a.webp",
        "photos/sub/deep/no_ending",
    ],
    "*/sub/../b.png": ["photos/sub/../b.png"],
    "photos/.git/*.png": ["photos/.git/x.png"],
    "./*/b.png": ["photos/b.png"],
}


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(("pattern", "expected"), PATTERNS.items(), ids=PATTERNS)
def test_a_pattern_means_what_a_shell_makes_of_it(pattern: str, expected: list[str]) -> None:
    assert named(pattern) == expected


def test_a_pattern_may_be_absolute(photos: Path) -> None:
    assert named(f"{photos}/*.png") == [f"{photos}/b.png"]


def test_an_overlay_of_a_file_has_its_bare_name_and_of_a_folder_its_path_below(photos: Path) -> None:
    arguments = ["photos/sub/c.tif", "photos/sub", "photos/*.png", "photos/s*", str(photos / "b.png")]
    found, _ = inputs.expand(arguments)
    folder = ["c.tif", "deep/a.webp", "deep/no_ending"]
    assert [i.relative for i in found] == ["c.tif", *folder, "b.png", *folder, "b.png"]


@pytest.mark.parametrize("name", ["a[1].png", "[ab].png", "a*.png", "what?.png", "[", "**"])
def test_an_existing_name_is_no_pattern(photos: Path, name: str) -> None:
    (photos / name).write_bytes(b"x")
    (photos / "a1.png").write_bytes(b"x")
    assert named(f"photos/{name}") == [f"photos/{name}"]
    (photos / name).unlink()
    (photos / name).mkdir()
    (photos / name / "in.png").write_bytes(b"x")
    assert named(f"photos/{name}") == [f"photos/{name}/in.png"]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("photos/*.gif", "no file matches this pattern"),
        ("[", "no file matches this pattern"),
        ("photos/.*", "no file matches this pattern"),
        ("photos/**.png", "not a valid pattern; ** must stand alone between slashes, as in photos/**/*.jpg"),
        ("photos/.git/..", ""),
        ("empty", "no image file is below this folder"),
        ("empty*", "no file matches this pattern"),
    ],
)
def test_an_argument_that_matches_no_image_is_refused_with_a_sentence(
    tmp_path: Path, argument: str, problem: str
) -> None:
    (tmp_path / "empty").mkdir()
    first = inputs.expand([argument, "photos/b.png"])[0][0]
    assert first.problem == problem
    if problem:
        assert first.name == argument


@pytest.mark.usefixtures("photos")
def test_a_missing_file_is_left_to_the_reader(tmp_path: Path) -> None:
    assert named("none.png", "", "photos/b.png/x") == ["none.png", "", "photos/b.png/x"]


def test_links_that_lead_out_and_special_files_are_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(b"x")
    (photos / "links").mkdir()
    for name, target in {"out.png": tmp_path / "outside.png", "in.png": photos / "b.png", "loop": photos}.items():
        (photos / "links" / name).symlink_to(target)
    os.mkfifo(photos / "links" / "pipe.png")
    outside = "a link that leads out of photos/links; copy the file instead"
    found, _ = inputs.expand(["photos/links"])
    assert {i.relative: i.problem for i in found} == {
        "in.png": outside,
        "loop": outside,
        "out.png": outside,
        "pipe.png": "not a regular file",
    }
    found, _ = inputs.expand(["photos/links/*.png"])  # as if each were named
    assert [(i.relative, i.problem) for i in found] == [
        ("in.png", ""),
        ("out.png", ""),
        ("pipe.png", "not a regular file"),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_refused_with_a_sentence(photos: Path) -> None:
    (photos / "sub").chmod(0)
    try:
        found, _ = inputs.expand(["photos"])
    finally:
        (photos / "sub").chmod(0o755)
    assert found == [inputs.Input("photos", problem="photos/sub cannot be read: Permission denied")]


def test_a_url_that_leads_nowhere_is_refused_with_a_sentence() -> None:
    found, _ = inputs.expand(["memory://nowhere/at/all"])
    assert found == [inputs.Input("memory://nowhere/at/all", problem="memory://nowhere/at/all does not exist")]


def test_a_folder_of_results_is_left_out_unless_its_files_are_named(photos: Path) -> None:
    (photos / "out").mkdir()
    (photos / "out" / "b.png").write_bytes(b"x")
    assert "photos/out/b.png" in named("photos")
    for argument in ("photos", "photos/**", "photos/**/b.png"):
        assert [n for n in named(argument, without="photos/out") if "out" in n] == []
    assert named("photos/out/b.png", without="photos/out") == ["photos/out/b.png"]
