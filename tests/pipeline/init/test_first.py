"""`imagegate init PATH` looks; `check PATH` and `run PATH` call it where there is no configuration yet."""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.base.errors import ConfigError
from pipeline import cli, config
from pipeline.init import first, found, places
from pipeline.init.readings import Reading
from pipeline.init.recognise.sight import Proposal
from pipeline.runs import data

Png = Callable[..., bytes]
WriteFiles = Callable[[Path, Mapping[str, bytes]], Path]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """`call("init", "pets")` is the exit code, output and error output of a command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", f"{tmp_path}-keras")  # nothing is at hand

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        out, err = capsys.readouterr()
        out = re.sub(r"^images [\d,]+ of [\d,]+\n", "", out, flags=re.MULTILINE)  # progress, on a slow machine
        assert "Traceback" not in out + err
        return code, out, err

    return run


def labelled(png: Png, counts: Mapping[str, int], folder: str = "") -> dict[str, bytes]:
    """Files of images, each of another content, in a folder for each label."""
    names = (f"{folder}{label}/{i}.png" for label, n in counts.items() for i in range(n))
    return {name: png(seed) for seed, name in enumerate(names)}


def table(text: str) -> list[str]:
    """The lines from the table's head on, without those of `init` itself."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("label "))
    own = ("next: ", "the data gate refuses this data set")
    return [line for line in lines[start:] if not line.startswith(own)]


# The folder names of formats that YAML takes for truth values, numbers or nothing.
SPELT = ["no", "yes", "010", "1e3", "null", "on", "~", "1.0", "a: b", "a #b", "日本", "😀", "it's", "2020-01-01"]


def test_a_folder_of_labelled_photos_becomes_a_configuration_that_reads_it(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles
) -> None:
    write_files(tmp_path / "clothes", labelled(png, dict.fromkeys(SPELT, 20)))
    code, out, err = call("init", "clothes")
    assert (code, err) == (0, "")
    assert out.startswith("wrote clothes.yaml: 280 images with 14 labels, read as layout folders for task single_label")
    assert out.endswith("next: imagegate run clothes.yaml\n")
    assert sorted(os.listdir(tmp_path)) == ["clothes", "clothes.yaml"]

    settings = config.load("clothes.yaml")
    assert (settings.name, settings.data.root, settings.task) == ("clothes", "clothes", "single_label")
    dataset, _ = data.read_dataset(settings)
    assert dataset.labels == tuple(sorted(SPELT))
    assert {record.labels[0] for record in dataset.records} == set(SPELT)
    # 20 images of each of 14 labels: 1 / 14 is 0.071; the test split may hold more of one of them.
    [threshold, *_] = settings.evaluation.thresholds
    assert threshold.metric == "accuracy"
    assert 0.08 <= (threshold.min or 0) <= 0.25
    assert settings.evaluation.thresholds[-1].max_drop == 0.02


def test_the_file_holds_what_was_found_as_comments(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles
) -> None:
    write_files(tmp_path / "clothes", labelled(png, {"shirt": 30, "hat": 7, "shoe": 20}))
    call("init", "clothes")
    text = (tmp_path / "clothes.yaml").read_text()
    assert "# Images per label: shirt: 30, shoe: 20, hat: 7.\n" in text
    assert all(len(line) <= 120 for line in text.splitlines())
    # 7 hats are less than the default of 10 in train, whichever of them are in eval and test: the gate is opened.
    least = re.search(r"min_examples: (\d)  +# today's .* of label 'hat' is \1; the default is 10\n", text)
    assert least
    assert call("check", "clothes.yaml")[0] == 0


def test_init_prints_the_table_of_check(call: Call, tmp_path: Path, png: Png, write_files: WriteFiles) -> None:
    write_files(tmp_path / "pets", labelled(png, {"cat": 30, "dog": 20}) | {"cat/notes.txt": b"x"})
    _, printed, _ = call("init", "pets")
    _, checked, _ = call("check", "pets.yaml")
    assert table(printed) == table(checked)
    assert "the data gate lets 50 images pass" in printed


def test_nothing_is_written_over(call: Call, tmp_path: Path, png: Png, write_files: WriteFiles) -> None:
    write_files(tmp_path / "pets", labelled(png, {"cat": 30, "dog": 20}))
    call("init", "pets")
    mine = (tmp_path / "pets.yaml").read_text().replace("batch_size: 4", "batch_size: 5")
    assert "batch_size: 5" in mine
    (tmp_path / "pets.yaml").write_text(mine)
    message = "imagegate: pets.yaml exists already; remove it, or name another file with -o\n"
    assert call("init", "pets") == (2, "", message)
    code, out, _ = call("check", "pets")
    assert code == 0
    assert out.startswith("pets.yaml is there already and is used\nlabel ")
    assert (tmp_path / "pets.yaml").read_text() == mine
    assert call("init", "pets", "-o", "other.yaml")[0] == 0


def test_check_writes_a_configuration_where_there_is_none(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles
) -> None:
    write_files(tmp_path / "pets", labelled(png, {"cat": 30, "dog": 20}) | {"dog/same.png": png(3)})
    code, out, _ = call("check", "pets")
    assert code == 3
    assert out.startswith("no configuration yet: wrote pets.yaml: 51 images with 2 labels")
    assert "refused: number of equal files under different labels is 1" in out
    assert call("check", "pets.yaml")[0] == 3


def test_overrides_reach_what_check_prints(call: Call, tmp_path: Path, png: Png, write_files: WriteFiles) -> None:
    write_files(tmp_path / "pets", labelled(png, {"cat": 30, "dog": 20}))
    code, out, _ = call("check", "pets", "--set", "balance.min_examples=100")
    assert code == 3
    assert "below the minimum 100" in out


def test_a_configuration_of_other_data_is_not_used(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles
) -> None:
    write_files(tmp_path / "pets", labelled(png, {"cat": 30, "dog": 20}))
    write_files(tmp_path / "more", labelled(png, {"cat": 30, "dog": 20}))
    call("init", "more", "-o", "pets.yaml")
    code, _, err = call("check", "pets")
    assert code == 2
    assert err.startswith(f"imagegate: pets.yaml is there already, but its data.root is {tmp_path}/more; name the ")


def test_the_current_folder_gets_its_configuration_beside_it(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "my pets", labelled(png, {"cat": 30, "dog": 20}))
    monkeypatch.chdir(tmp_path / "my pets")
    code, out, _ = call("init", ".")
    assert code == 0
    assert out.endswith("next: imagegate run '../my pets.yaml'\n")
    settings = config.load("../my pets.yaml")
    assert (settings.name, settings.data.root) == ("my-pets", "my pets")
    assert sorted(os.listdir(".")) == ["cat", "dog"]


def test_the_file_names_what_a_large_data_set_was_judged_from(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "_MOST_BYTES", 400_000)  # enough for 10 images in a sample
    files = labelled(png, {"cat": 60, "dog": 40})
    write_files(tmp_path / "pets", files)
    code, out, _ = call("init", "pets")
    assert code == 0
    assert "the numbers are estimates: of 100 images, 9 were opened; `imagegate check` opens all\n" in out
    text = (tmp_path / "pets.yaml").read_text()
    assert "# Estimates: all 100 images are listed, 9 of them were opened; `imagegate check` opens all.\n" in text
    assert "- {metric: accuracy, min: 0.61}" in text  # 60 of 100; the test split is not counted
    code, out, _ = call("check", "pets.yaml")
    assert code == 0
    assert "the data gate lets 100 images pass" in out


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ({}, (), "no layout fits. It holds no file\nExpected one of:\n  folders: one folder per label"),
        ({"a/x.txt": b"x", "LICENSE": b""}, (), "It holds 2 files: 1 without an ending, 1 .txt\n  folders: a\n"),
    ],
)
def test_what_fits_no_layout_is_told_with_what_was_seen(
    call: Call,
    tmp_path: Path,
    write_files: WriteFiles,
    files: Mapping[str, bytes],
    arguments: Sequence[str],
    message: str,
) -> None:
    write_files(tmp_path / "pets", files).mkdir(exist_ok=True)
    code, out, err = call("init", "pets", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert os.listdir(tmp_path) == ["pets"]


def test_a_task_that_the_data_do_not_allow_is_refused(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles
) -> None:
    write_files(tmp_path / "pets", labelled(png, {"cat": 30, "dog": 20}))
    code, _, err = call("init", "pets", "--task", "segmentation")
    assert code == 2
    assert "pets: no way to read it for task segmentation; it can be read as layout folders for task single" in err


def test_what_looks_like_one_layout_but_cannot_be_read_so_is_not_read_in_another(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles
) -> None:
    """Nearly everything can be read as label folders: `images` and `masks` would become labels."""
    write_files(tmp_path / "pets", labelled(png, {"images": 3, "masks": 3}))
    masks = Proposal("masks", ("segmentation",), "of the names", {"images": "images", "masks": "none"})
    folders = Proposal("folders", ("single_label",), "there are folders")
    possible = [Reading(masks, "segmentation"), Reading(folders, "single_label")]
    with pytest.raises(ConfigError) as error:
        first._first_that_reads(places.place("pets"), possible)
    lines = str(error.value).splitlines()
    assert lines[0] == "pets looks like layout masks for task segmentation, since of the names; but:"
    assert lines[-1] == (
        "also possible: layout folders for task single_label, since there are folders; to choose it, "
        "set task: single_label, data: {layout: folders}"
    )


def test_a_place_that_does_not_exist_is_told_before_anything_is_read(call: Call, tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    code, _, err = call("init", "pets", "-o", "none/pets.yaml")
    assert (code, err) == (2, "imagegate: -o: there is no folder none; make it, or name another file\n")
    assert call("init", "pets", "--demo", "-o", "x.yaml")[0] == 2


def test_an_archive_is_read_as_it_is(call: Call, tmp_path: Path, png: Png) -> None:
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name, content in labelled(png, {"cat": 30, "dog": 20}, "pets/").items():
            archive.writestr(name, content)
    code, out, _ = call("init", "pets.zip")
    assert code == 0
    assert "the data gate lets 50 images pass" in out
    assert sorted(os.listdir(tmp_path)) == ["pets.yaml", "pets.zip"]
    assert call("check", "pets.zip")[1].startswith("pets.yaml is there already and is used\n")


def test_a_data_set_may_hold_its_own_configuration_runs_and_models(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the place beside it cannot be written. A report's pictures are no images of the data set."""
    root = write_files(tmp_path / "pets", labelled(png, {"cat": 30, "dog": 20}))
    write_files(root, {"runs/pets/history/1/1.png": png(1), "models/pets/1/2.png": png(2)})
    monkeypatch.chdir(root)
    code, out, _ = call("init", ".", "-o", "pets.yaml")
    assert code == 0
    assert "wrote pets.yaml: 50 images with 2 labels" in out
    settings = config.load("pets.yaml")
    assert settings.data.root == "."
    assert data.read_dataset(settings)[0].labels == ("cat", "dog")


def test_few_images_are_split_so_that_test_has_some(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles
) -> None:
    """A tenth of 99 images are fewer than ten; of 100, ten."""
    for name, count, split in (("few", 49, (0.6, 0.2, 0.2)), ("more", 50, (0.8, 0.1, 0.1))):
        write_files(tmp_path / name, labelled(png, {"cat": count, "dog": 50}))
        assert call("init", name)[0] == 0
        settings = config.load(f"{name}.yaml")
        assert tuple(dict(settings.data.split).values()) == split


def test_masks_of_0_and_255_have_two_labels(call: Call, tmp_path: Path, png: Png, write_files: WriteFiles) -> None:
    mask = io.BytesIO()
    Image.fromarray(np.array([[0, 0, 0, 255]] * 4, np.uint8)).save(mask, "PNG")
    files = {f"image/{i}.png": png(i, 4, 4) for i in range(40)}
    write_files(tmp_path / "cells", files | {f"label/{i}.png": mask.getvalue() for i in range(40)})
    for task in ((), ("--task", "segmentation")):
        code, out, _ = call("init", "cells", *task, "-o", f"cells{len(task)}.yaml")
        assert code == 0
        assert "the data gate lets 40 images pass" in out
        settings = config.load(f"cells{len(task)}.yaml")
        assert settings.task == "segmentation"
        assert sorted((settings.labels.colors or {}).values()) == [0, 255]
        # One label is right for 12 of 16 pixels, 0.75; over two labels, 0.375.
        assert settings.evaluation.thresholds[0].min == 0.38
    # 480 of 640 pixels are 0.
    assert re.search(r": 0 +# 75 % of the pixels, in 40 images\n", (tmp_path / "cells2.yaml").read_text())


def test_a_table_becomes_a_configuration_for_its_labels(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles
) -> None:
    files = {f"images/{i}.png": png(i) for i in range(60)}
    rows = "".join(f"{i};{'no' if i % 2 else '010'}\n" for i in range(60))
    write_files(tmp_path / "pets", files | {"labels.csv": f"id_code;label\n{rows}".encode()})
    for number, path in enumerate(("pets", "pets/labels.csv")):
        code, out, _ = call("init", path, "-o", f"{number}.yaml")
        assert (code, "60 images with 2 labels" in out) == (0, True)
        dataset, _ = data.read_dataset(config.load(f"{number}.yaml"))
        assert dataset.labels == ("010", "no")
        assert [r.labels for r in dataset.records if r.path == "images/7.png"] == [("no",)]


def deep(seed: int, highest: int) -> bytes:
    """A PNG of 16 bits with noise whose values go up to `highest`."""
    values = np.random.default_rng(seed).integers(0, highest + 1, (24, 32), np.uint16)
    values[0, 0] = highest
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(("highest", "bits"), [(4080, 12), (255, 8), (1000, 10), (16_383, 14), (16_384, None)])
@pytest.mark.parametrize("most", [240_000_000, 400_000])  # all images are opened, or a sample
def test_images_of_12_bits_in_16_are_read_as_such(
    call: Call,
    tmp_path: Path,
    write_files: WriteFiles,
    monkeypatch: pytest.MonkeyPatch,
    highest: int,
    bits: int | None,
    most: int,
) -> None:
    monkeypatch.setattr(found, "_MOST_BYTES", most)
    names = [f"{label}/{i}.png" for label in ("cat", "dog") for i in range(20)]
    files = {name: deep(seed, highest) for seed, name in enumerate(names)}
    write_files(tmp_path / "scans", files)
    code, out, _ = call("init", "scans")
    text = (tmp_path / "scans.yaml").read_text()
    assert (code, config.load("scans.yaml").data.bits) == (0, bits)
    if most == 240_000_000 and bits is not None:
        comment = f"40 images of 16 bits opened, the highest value is {highest:,}"
        assert re.search(rf"\n  bits: {bits} +# {comment}\n", text)
        assert f"16 bits per value; they were read as values of {bits} bits (data.bits)" in out
        assert table(out) == table(call("check", "scans.yaml")[1])
    assert "nearly black" not in out + text


def test_a_refusal_is_the_last_word(call: Call, tmp_path: Path, png: Png, write_files: WriteFiles) -> None:
    write_files(tmp_path / "pets", labelled(png, {"cat": 30, "dog": 20}) | {"dog/same.png": png(3)})
    code, out, _ = call("init", "pets")
    assert code == 0  # the configuration was written
    assert out.splitlines()[-3].startswith("refused: number of equal files under different labels is 1")
    assert out.endswith(
        "\nthe data gate refuses this data set as it is\n"
        "next: mend what is refused above, then imagegate check pets.yaml\n"
    )


def test_check_looks_for_room_and_permissions_after_it_wrote_a_configuration(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "pets", labelled(png, {"cat": 30, "dog": 20}))
    full = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    code, out, err = call("check", "pets")
    assert (code, "wrote pets.yaml" in out) == (1, True)
    assert re.match(
        r"imagegate: no space left on device: .* \(1\.0 MB free\); a run needs about .* there; make room", err
    )
    assert call("check", "pets.yaml")[0] == 1


def test_a_large_data_set_is_looked_at_without_tensorflow(tmp_path: Path, png: Png, write_files: WriteFiles) -> None:
    jpeg = io.BytesIO()
    Image.new("RGB", (300, 200)).save(jpeg, "JPEG")
    write_files(tmp_path / "pets", labelled(png, {"cat": 30, "dog": 20}) | {"dog/1.jpg": jpeg.getvalue()})
    script = (
        "import sys; from pipeline import cli; from pipeline.init import found; found._MOST_BYTES = 400_000; "
        "code = cli.main(['init', 'pets']); sys.exit(code or ('tensorflow' in sys.modules))"
    )
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"the numbers are estimates" in ran.stdout


@pytest.mark.parametrize(
    "name",
    ["models", "runs", "my pets", "日本", 'it\'s "q"', "a#b", "-pets", "a: b", "%x", "{a}", "[b]", "$HOME", "@x", "*"],
)
def test_a_folder_of_any_name_is_read_and_its_next_command_works(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles, name: str
) -> None:
    write_files(tmp_path / name, labelled(png, {"cat": 20, "dog": 20}))
    code, out, err = call("init", f"./{name}/")
    assert (code, err) == (0, "")
    [*_, last] = out.splitlines()
    assert last.startswith("next: imagegate run ")
    [file] = shlex.split(last.removeprefix("next: imagegate run "))
    settings = config.load(file)
    assert settings.data_root == str(tmp_path / name)
    for place in (settings.output_folder, settings.destination):
        assert not f"{place}/".startswith(f"{tmp_path}/{name}/")
    code, out, _ = call("check", file)
    assert (code, "40 images pass" in out) == (0, True)
    assert sorted(os.listdir(tmp_path / name)) == ["cat", "dog"]


def test_relative_paths_start_at_the_file_that_o_names(
    call: Call, tmp_path: Path, png: Png, write_files: WriteFiles
) -> None:
    write_files(tmp_path / "a" / "pets", labelled(png, {"cat": 20, "dog": 20}))
    (tmp_path / "b").mkdir()
    for file, root in (("a/x.yaml", "pets"), ("x.yaml", "a/pets"), ("b/x.yaml", f"{tmp_path}/a/pets")):
        assert call("init", "a/pets", "-o", file)[0] == 0
        settings = config.load(file)
        assert (settings.data.root, settings.data_root) == (root, f"{tmp_path}/a/pets")
        assert settings.destination == str((tmp_path / file).parent / "models" / "pets")
    message = "imagegate: -o: b is a folder; name a file in it, such as b/pets.yaml\n"
    assert call("init", "a/pets", "-o", "b/") == (2, "", message)
