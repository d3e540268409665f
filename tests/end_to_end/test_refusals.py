"""What is refused, with which exit code and which words; the served model stays as it is."""

import shutil
import zipfile
from collections.abc import Callable

import pytest
from projects import Project, Run, ran

pytestmark = pytest.mark.end_to_end


def refused(project: Project, *overrides: str) -> dict:
    """Runs, and makes sure that the data gate said no and nothing was touched."""
    before = project.served()
    summary = project.run("evaluation.slices=[label]", *overrides)
    assert (summary["status"], summary["exit_code"]) == ("data_rejected", 3)
    assert "Trainer" not in ran(summary)
    assert summary["pushed"] is None
    assert project.served() == before
    return summary


def test_too_few_examples_are_refused_with_their_number(tiny: Project) -> None:
    summary = refused(tiny, "balance.min_examples=1000")
    failed = [g for g in summary["gates"] if not g["passed"]]
    assert [g["label"] for g in failed] == ["0", "1", "2"]
    for gate in failed:
        train = summary["data"]["labels"][gate["label"]]["train"]
        assert (gate["gate"], gate["value"]) == ("data_gate", train)
        assert gate["reason"] in summary["error"]
        assert f"{train}" in gate["reason"]
    assert ran(summary) == set()  # up to the gate, everything was known


def test_every_reason_is_reported_at_once(tiny: Project) -> None:
    data = tiny.folder / "data"
    shutil.copy(data / "0" / "5.png", data / "1" / "stray.png")
    for i in range(5):
        (data / "2" / f"broken{i}.jpg").write_bytes(b"\xff\xd8\xff")
    (data / "3").mkdir()
    summary = refused(tiny)
    lines = summary["error"].splitlines()
    assert len([line for line in lines if "0/5.png = 1/stray.png" in line]) == 1
    assert len([line for line in lines if "5 of 96 files" in line]) == 1
    assert len([line for line in lines if "of label '3' is 0" in line]) == 3  # in train, eval and test
    quarantined = {item["path"]: item["reason"] for item in summary["data"]["quarantined"]}
    assert set(quarantined) == {f"2/broken{i}.jpg" for i in range(5)}
    assert all(quarantined.values())


def test_a_data_set_of_broken_files_is_refused(tiny: Project) -> None:
    shutil.rmtree(tiny.folder / "data")
    for label in "ab":
        (tiny.folder / "data" / label).mkdir(parents=True)
        (tiny.folder / "data" / label / "1.png").write_bytes(b"text")
    summary = refused(tiny)
    assert "2 of 2 files" in summary["error"]  # the limits speak, too
    rules = [g["rule"] for g in summary["gates"] if not g["passed"]]
    assert sum("examples in train >= 5" in rule for rule in rules) == 2
    assert sum("images in train >= 1" in rule for rule in rules) == 1


def test_a_folder_without_label_folders_is_refused(tiny: Project, imagegate: Callable[..., Run]) -> None:
    before = tiny.served()
    (tiny.folder / "loose").mkdir()
    (tiny.folder / "loose" / "1.png").write_bytes(b"")
    run = imagegate("run", tiny.config, "--set", "data.root=loose")
    assert run.code == 3
    assert "refused by the data gate; nothing was trained, the served model is untouched:" in run.out
    assert "holds no label folder (but 1 files directly in it)" in run.out or "but 1 file directly in it" in run.out
    assert (tiny.served(), tiny.latest_summary()["exit_code"]) == (before, 3)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.epohcs=3", "training.epohcs: unknown key"),
        (
            'evaluation.thresholds=[{metric: recall, label: "7", min: 0.5}]',
            "unknown label '7'; expected one of '0', '1', '2'",
        ),
        ("training.backbone=missing.keras", "missing.keras does not exist"),
    ],
)
def test_a_wrong_configuration_ends_in_2_with_one_sentence(
    tiny: Project, imagegate: Callable[..., Run], override: str, words: str
) -> None:
    before, history = tiny.served(), sorted((tiny.output / "history").iterdir())
    run = imagegate("run", tiny.config, "--set", override)
    assert (run.code, run.out) == (2, "")
    [line] = run.err.splitlines()
    assert line.startswith("imagegate: ")
    assert words in line
    assert (tiny.served(), sorted((tiny.output / "history").iterdir())) == (before, history)


def test_a_backbone_that_cannot_be_read_ends_in_2(tiny: Project) -> None:
    before = tiny.served()
    with zipfile.ZipFile(tiny.folder / "broken.keras", "w") as archive:
        archive.writestr("config.json", "{}")  # the rest of a .keras file is missing
    summary = tiny.run("evaluation.slices=[label]", "training.backbone=broken.keras")
    assert (summary["status"], summary["exit_code"]) == ("failed", 2)
    assert summary["error"].startswith(f"training.backbone: {tiny.folder / 'broken.keras'} cannot be loaded")
    assert tiny.served() == before


def test_a_served_model_that_was_changed_does_not_predict(tiny: Project, imagegate: Callable[..., Run]) -> None:
    [version] = tiny.destination.iterdir()
    with (version / "saved_model.pb").open("ab") as f:
        f.write(b"\0")
    run = imagegate("predict", tiny.destination, tiny.folder / "data" / "0" / "0.png")
    assert (run.code, run.out) == (1, "")
    assert run.err == (
        f"imagegate: {version / 'saved_model.pb'} does not match the model's imagegate.json; "
        "the model was changed after it was pushed and is not loaded\n"
    )
