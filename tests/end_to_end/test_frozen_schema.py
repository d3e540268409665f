"""A frozen schema stops a later run whose data differ from it, until the change is accepted."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image
from projects import Project, Run

from components.base.errors import ConfigError
from pipeline import cli, config
from pipeline.runs import data, freeze

pytestmark = pytest.mark.end_to_end

FROZEN = "data.schema_file=schema.pbtxt"


def test_a_change_is_refused_until_it_is_accepted(tiny: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema", tiny.config]) == 0
    out = capsys.readouterr().out
    assert "schema_file: schema.pbtxt" in out
    text = (tiny.folder / "schema.pbtxt").read_text()
    assert all(f'value: "{label}"' in text for label in "012")

    summary = tiny.run(FROZEN)
    assert summary["exit_code"] == 0

    one = tiny.folder / "data" / "0" / "0.png"
    Image.open(one).convert("RGB").save(one.with_suffix(".jpg"))
    one.unlink()
    before = tiny.served()
    summary = tiny.run(FROZEN)
    assert (summary["status"], summary["exit_code"]) == ("data_rejected", 3)
    assert tiny.served() == before
    [line] = summary["error"].splitlines()
    assert "number of schema anomalies of feature 'image/format' is 1, above the maximum 0: the value 'jpeg' is" in line
    assert line.endswith("edit schema.pbtxt or freeze the schema again: imagegate schema")

    assert cli.main(["check", tiny.config, "--set", FROZEN]) == 3
    assert f"refused: {line}" in capsys.readouterr().out

    assert cli.main(["schema", tiny.config, "--set", FROZEN]) == 0
    assert capsys.readouterr().out == f"wrote {tiny.folder / 'schema.pbtxt'}\n"
    assert cli.main(["check", tiny.config, "--set", FROZEN]) == 0


def test_anomalies_that_only_tensorflow_data_validation_finds_are_reported_too(tiny: Project) -> None:
    """Somebody wrote by hand that every image needs two labels."""
    freeze.run(config.load(tiny.config), None)
    path = tiny.folder / "schema.pbtxt"
    name = 'feature {\n  name: "label"\n'
    before, after = path.read_text().split(name)
    path.write_text(before + name + after.replace("max: 1", "min: 2", 1).replace("min: 0", "", 1))
    summary = tiny.run(FROZEN)
    assert summary["exit_code"] == 3
    assert "schema anomalies of feature 'label'" in summary["error"]
    assert "(in eval, test, train)" in summary["error"] or "(in train, eval, test)" in summary["error"]


@pytest.fixture
def cameras(tmp_path: Path, png: Callable[..., bytes]) -> Project:
    """30 images from two cameras."""
    rows = ["file_name,label,camera"]
    for i in range(30):
        (tmp_path / f"{i}.png").write_bytes(png(i))
        rows.append(f"{i}.png,{'ab'[i % 2]},{'xy'[i % 3 == 0]}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "labels.csv").write_text("\n".join(rows))
    for i in range(30):
        (tmp_path / f"{i}.png").rename(tmp_path / "data" / f"{i}.png")
    told = {
        "name": "cameras",
        "task": "single_label",
        "data": {"root": "data", "layout": "manifest", "manifest": "labels.csv", "columns": {"slices": ["camera"]}},
        "balance": {"min_examples": 2},
        "push": {"destination": "served"},
    }
    (tmp_path / "imagegate.yaml").write_text(yaml.safe_dump(told))
    return Project(tmp_path, "cameras")


def test_another_slice_value_and_column_are_refused(cameras: Project) -> None:
    cameras.run("balance.min_examples=1000")  # refused, but the data were read
    freeze.run(config.load(cameras.config), None)
    table = cameras.folder / "data" / "labels.csv"
    table.write_text(table.read_text().replace("1.png,b,x", "1.png,b,z").replace("camera", "lens"))
    summary = cameras.run(FROZEN, "data.columns.slices=[lens]")
    assert summary["exit_code"] == 3
    assert "the column 'camera' is not in the data" in summary["error"]
    assert "the column 'lens' is new" in summary["error"]

    table.write_text(table.read_text().replace("lens", "camera"))
    summary = cameras.run(FROZEN)
    assert summary["exit_code"] == 3
    assert "feature 'slice/camera' is 1, above the maximum 0: the value 'z' is new (" in summary["error"]


def test_freezing_needs_a_run_and_reading_needs_a_file(cameras: Project, imagegate: Callable[..., Run]) -> None:
    settings = config.load(cameras.config)
    with pytest.raises(ConfigError, match="has read the data yet; first: imagegate run"):
        freeze.run(settings, None)
    with pytest.raises(ConfigError, match=r"data\.schema_file: .*none\.pbtxt: No such file.*imagegate schema"):
        data.frozen_schema(config.load(cameras.config, ["data.schema_file=none.pbtxt"]))
    run = imagegate("run", cameras.config, "--set", "data.schema_file=none.pbtxt")
    assert run.code == 2
    assert "imagegate schema" in run.err
