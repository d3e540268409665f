"""What cannot work is refused at once, with exit code 2, in `run` and `check`, and nothing is written."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from components.base.errors import ConfigError
from components.data.dataset import Dataset
from components.push import versions
from components.push.manifest import PushedManifest
from pipeline import cli, config
from pipeline.disk.room import NoRoom
from pipeline.runs import data, preflight

Png = Callable[..., bytes]
WriteFiles = Callable[..., Path]
_NOBODY = 65534


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def settings(tmp_path: Path, write_files: WriteFiles, png: Png) -> Callable[..., str]:
    """`settings(**sections)` writes a project of two labels and returns the path of its configuration."""

    def write(**sections: Any) -> str:
        write_files(tmp_path / "images", {f"{label}/{i}.png": png(i) for i, label in enumerate(["cat", "dog"])})
        told = {"name": "pets", "task": "single_label", "data": {"root": "images"}, "push": {"destination": "served"}}
        (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(told | sections))
        return str(tmp_path / "imagegate.yaml")

    return write


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("sections", "message"),
    {
        "output": ({"output": "file/runs"}, r"output: .*/file/runs cannot be made: .*/file is a file; "),
        "file": ({"output": "file"}, r"output: .*/file is a file; expected a folder"),
        "link": ({"output": "lost/runs"}, r"output: .*cannot be made: .*/lost is a link to nothing"),
        "push": ({"push": {"destination": "file/served"}}, r"push\.destination: .*/file is a file"),
        "push url": ({"push": {"destination": "file://{here}/file/served"}}, r"push\.destination: .*/file is a file"),
        "protocol": ({"push": {"destination": "s4://bucket/x"}}, r"there is no protocol 's4'; did you mean s3://\?"),
        "package": ({"push": {"destination": "lakefs://a/b"}}, r"destination: lakefs://a/b: a package is missing: "),
        "no backbone": ({"training": {"backbone": "net.keras"}}, r"training\.backbone: .*/net\.keras does not exist"),
        "near": ({"training": {"backbone": "mine2.keras"}}, r"mine2\.keras does not exist; did you mean mine\.keras\?"),
        "no archive": ({"training": {"backbone": "mine.keras"}}, r"mine\.keras is not a \.keras file"),
        "other archive": ({"training": {"backbone": "zip.keras"}}, r"zip\.keras is not a \.keras file"),
        "folder": ({"training": {"backbone": "images.keras"}}, r"images\.keras is a folder; expected a \.keras file"),
        "memory": ({"training": {"image_size": [1_000_000, 1_000_000]}}, "1000000 x 1000000 pixels takes 12,000.0 GB"),
        "runner": ({"beam": ["--runner=Nope"]}, r"beam: the runner 'Nope' cannot be used: "),
        "unknown": ({"training": {"backbone": "resnet50"}}, r"'resnet50' .*did you mean ResNet50\?"),
        "schema": ({"data": {"root": "images", "schema_file": "images"}}, r"data\.schema_file: .*Is a directory"),
        "exclude": ({"data": {"root": "images", "exclude": "none.csv"}}, r"data\.exclude: .*No such file"),
    }.values(),
)  # fmt: skip
def test_what_cannot_work_is_refused_at_once(
    settings: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str,
    sections: dict[str, Any], message: str,
) -> None:  # fmt: skip
    (tmp_path / "file").write_text("")
    (tmp_path / "lost").symlink_to("nowhere")
    (tmp_path / "mine.keras").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "zip.keras", "w") as archive:
        archive.writestr("a.txt", "")
    (tmp_path / "images.keras").mkdir()
    if "push" in sections:
        sections = {"push": {k: v.format(here=tmp_path) for k, v in sections["push"].items()}}
    path = settings(**sections)
    before = sorted(p for p in tmp_path.rglob("*"))
    assert cli.main([command, path]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert re.search(message, error), error
    assert sorted(p for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_threshold_on_a_value_that_no_image_has_is_refused_before_training(
    settings: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "a.csv").write_text("file_name,label,light\ncat/0.png,cat,day\ndog/1.png,dog,night\n")
    data = {
        "root": ".",
        "layout": "manifest",
        "manifest": "a.csv",
        "images": "images",
        "columns": {"slices": ["light"]},
    }
    told = {"metric": "accuracy", "min": 0.5, "slice": {"light": "nihgt"}}
    path = settings(data=data, evaluation={"thresholds": [told]})
    before = sorted(tmp_path.rglob("*"))
    assert cli.main([command, path]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "slice: no image has the value 'nihgt' in the column 'light'; did you mean 'night'?" in error
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder that everyone may enter, and no special rights as long as the test lasts."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(_NOBODY)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


def test_folders_without_permission_are_refused(unprivileged: Path) -> None:
    preflight.writable("output", str(unprivileged / "runs/a"))
    unprivileged.joinpath("mine").mkdir(mode=0o555)
    with pytest.raises(ConfigError, match=r"output: .*/mine/runs cannot be written: permission denied: .*/mine;"):
        preflight.writable("output", str(unprivileged / "mine/runs"))


def test_a_file_system_that_is_read_only_is_not_called_a_lack_of_permission(tmp_path: Path) -> None:
    """A real one: a tmpfs that is mounted read-only, in a namespace where this user is root."""
    around = ("unshare", "--user", "--map-root-user", "--mount")
    if (
        shutil.which("unshare") is None
        or subprocess.run([*around, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("user namespaces, in which a tmpfs can be mounted without being root, are not allowed here")
    code = f"from pipeline.runs import preflight; preflight.writable('output', {str(tmp_path / 'runs')!r})"
    mounted = f'mount -t tmpfs -o ro none "{tmp_path}" && exec "$@"'
    done = subprocess.run(
        [*around, "sh", "-c", mounted, "sh", sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    wanted = f"output: {tmp_path}/runs cannot be written: the file system is read-only: {tmp_path}; choose another"
    assert wanted in done.stderr


def test_files_without_permission_are_counted_and_named(unprivileged: Path, png: Png) -> None:
    (unprivileged / "images/cat").mkdir(parents=True)
    for i in range(8):
        (unprivileged / f"images/cat/{i}.png").write_bytes(png(i))
        (unprivileged / f"images/cat/{i}.png").chmod(0o000 if i < 6 else 0o444)
    (unprivileged / "imagegate.yaml").write_text(
        "{name: a, task: single_label, data: {root: images}, push: {destination: served}}"
    )
    loaded = config.load(str(unprivileged / "imagegate.yaml"))
    dataset, _ = data.read_dataset(loaded)
    with pytest.raises(ConfigError, match=r"data\.root: 6 files cannot be read: permission denied: cat/0\..*1 more"):
        preflight.files(loaded, dataset)


def free(monkeypatch: pytest.MonkeyPatch, megabytes: float) -> None:
    """The disk is the only thing that is not real: filling one takes longer than the test."""
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: Usage(10**12, 0, round(megabytes * 1e6)))


def listed(path: str, megabytes: int) -> tuple[config.Config, Dataset]:
    """The configuration and its data set, with images that are said to be larger."""
    loaded = config.load(path)
    dataset, _ = data.read_dataset(loaded)
    size = megabytes * 1_000_000 // len(dataset.records)
    return loaded, dataclasses.replace(
        dataset, records=tuple(dataclasses.replace(r, size=size) for r in dataset.records)
    )


def test_too_little_room_is_said_with_the_estimate(
    settings: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 3,000 MB of images x 1.02; 5 MB of weights x (11 + 2); 10 MB: 3,135 MB.
    loaded, dataset = listed(settings(), 3000)
    free(monkeypatch, 3136)
    preflight.files(loaded, dataset)
    free(monkeypatch, 1100)
    message = r"no space left on device: .*/runs/pets \(1\.1 GB free\); a run needs about 3\.1 GB there; make room and"
    with pytest.raises(NoRoom, match=message):
        preflight.files(loaded, dataset)


def test_images_that_an_earlier_run_stored_take_no_room_again(
    settings: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, dataset = listed(settings(), 3000)
    free(monkeypatch, 1100)
    folder = tmp_path / "runs/pets/pipeline/ImageExampleGen/examples/7"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"counts": {"train": 1, "eval": 0, "test": 0}, "quarantined": [{}]}')
    preflight.files(loaded, dataset)
    with pytest.raises(NoRoom, match=r"needs about 3\.1 GB"):
        preflight.files(loaded, dataset, force=True)


def test_a_backbone_counts_with_its_size(
    settings: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.keras").write_bytes(b"")
    os.truncate(tmp_path / "net.keras", 1_000_000_000)
    loaded, dataset = listed(settings(training={"backbone": "net.keras"}), 0)
    free(monkeypatch, 12_000)
    with pytest.raises(NoRoom, match=r"needs about 13\.0 GB"):  # 1 GB x (11 + 2), and 10 MB
        preflight.files(loaded, dataset)


def test_a_full_disk_is_seen_as_it_is(settings: Callable[..., str], tmp_path: Path) -> None:
    loaded, dataset = listed(settings(), 0)
    known = shutil.disk_usage(tmp_path).free
    more = 2 * known // 1_000_000
    with pytest.raises(NoRoom, match=r"GB free\); a run needs about .* GB there"):
        preflight.files(loaded, listed(settings(), more)[1])
    preflight.files(loaded, dataset)


def test_the_answer_comes_without_tensorflow(settings: Callable[..., str]) -> None:
    program = (
        "import sys; from pipeline import cli; code = cli.main(sys.argv[1:]); print(code, 'tensorflow' in sys.modules)"
    )
    path = settings(training={"backbone": "resnet50"})
    for command in ("check", "run"):
        done = subprocess.run(
            [sys.executable, "-c", program, command, path], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["2", "False"]


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_number_after_which_no_version_can_come_is_named_before_anything_runs(
    settings: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "served" / "9223372036854775807").mkdir(parents=True)
    assert cli.main([command, settings()]) == 1
    assert f"push.destination: {tmp_path}/served holds '9223372036854775807', and" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "pipeline").exists()


@pytest.mark.parametrize("command", ["check", "run", "rollback"])
def test_the_model_of_another_configuration_is_not_replaced_unless_it_is_taken_over(
    settings: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "model").mkdir()
    for content in "ab":
        (tmp_path / "model" / "saved_model.pb").write_text(content)
        pushed = versions.push(str(tmp_path / "model"), str(tmp_path / "served"), PushedManifest(name="birds"))
    assert cli.main([command, settings()]) == 2
    assert capsys.readouterr().err.endswith(
        f"push.destination: version {pushed.version}, which is served in it, was pushed by 'birds', and this "
        "configuration is 'pets'. Choose another push.destination, or set push.take_over: true if this configuration "
        "is to replace it\n"
    )
    assert not (tmp_path / "runs").exists()
    if command == "run":
        preflight.places(config.load(settings(), ["push.take_over=true"]))
    else:
        assert cli.main([command, settings(), "--set", "push.take_over=true"]) == (3 if command == "check" else 0)


@pytest.mark.parametrize("command", ["check", "run"])
def test_the_extra_of_a_runtime_that_is_missing_is_named_before_anything_runs(
    settings: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
    path = settings(push={"destination": "served", "formats": ["saved_model", "litert", "onnx-int8"]})
    assert cli.main([command, path]) == 2
    assert " ".join(capsys.readouterr().err.split()).endswith(
        "push.formats: onnx-int8 needs onnxruntime, not installed here; install the extra onnx: "
        "pip install 'imagegate[onnx]'"
    )


@pytest.mark.parametrize("command", ["check", "run"])
def test_formats_of_a_model_of_a_single_label_are_refused(
    settings: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    path = settings(push={"destination": "served", "formats": ["saved_model", "litert"]})
    shutil.rmtree(tmp_path / "images" / "dog")
    assert cli.main([command, path]) == 2
    assert "push.formats: the data have the single label 'cat'" in " ".join(capsys.readouterr().err.split())
