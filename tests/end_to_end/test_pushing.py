"""What a run pushes, and what it does not: the evaluated model, its card, to a folder or a URL, and never one again
that was rolled back."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import Project, Run, ran

from components.base.artifact_files import BATCHING, WARM_UP
from components.push import aliases, history, versions
from pipeline import cli

pytestmark = pytest.mark.end_to_end

SETTLED = "evaluation.slices=[label]"  # as in the latest of the runs that `tiny` has behind it


def test_a_card_lies_beside_the_model_and_is_covered(tiny: Project) -> None:
    served = versions.current(str(tiny.destination))
    card = versions.content(served, "MODEL_CARD.md").decode()
    manifest = served.manifest
    assert sorted(manifest.beside) == ["MODEL_CARD.md", WARM_UP, BATCHING, "images.npy"]
    assert "- The warm-up requests for servers, beside this card, hold images of the test split.\n" in card
    assert card.startswith("# Model card: tiny\n\nTask `single_label`, pushed 20")
    for label, counts in manifest.label_counts.items():
        assert f"| {label} | {counts['train']} | {counts['eval']} | {counts['test']} | " in card
    assert f"| accuracy | {manifest.metrics['accuracy']:.4g} |" in card
    assert "Compared with no other model: no model is served yet." in card
    assert "- accuracy is " in card
    assert "\n## Training\n\nThe weights are those " in card
    chosen = json.loads(sorted(tiny.output.glob("history/*/summary.json"))[0].read_text())["checkpoint"]
    assert (chosen["split"], chosen["measure"], chosen["phase"]) == ("eval", "tempered_loss", "all")
    assert 0 <= chosen["epoch"] <= chosen["epochs"] <= chosen["allowed"]
    assert f"| model | {served.identity} |" in card
    assert sorted(manifest.written_by) == ["imagegate", "tensorflow"]
    assert f"| tensorflow | {manifest.written_by['tensorflow']} |" in card
    assert manifest.compared_with == ""
    assert f"| data | {manifest.data_fingerprint} |" in card
    assert manifest.format == 2


def test_a_model_that_changed_after_its_evaluation_is_not_pushed(tiny: Project) -> None:
    shutil.rmtree(next(tiny.destination.iterdir()))
    model = tiny.artifact("Trainer", "model") / "Format-Serving" / "saved_model.pb"
    model.write_bytes(model.read_bytes() + b"\0")
    summary = tiny.run()  # for all stages the same as the first
    assert ran(summary) <= {"Pusher", "ModelReport"}
    assert (summary["status"], summary["exit_code"]) == ("failed", 1)
    assert "saved_model.pb changed after it was written: expected SHA-256 " in summary["error"]
    assert os.listdir(tiny.destination) == []


@pytest.mark.slow
def test_a_rolled_back_model_stays_away_until_something_changes(tiny: Project, imagegate: Callable[..., Run]) -> None:
    [one] = os.listdir(tiny.destination)
    two = tiny.run(SETTLED, "training.seed=2")["pushed"]["version"]
    back = imagegate("rollback", tiny.config)
    assert back.code == 0, back
    served = versions.current(str(tiny.destination))
    assert (served.manifest.rolled_back_from, served.manifest.rolled_back_to) == (two, one)
    before = tiny.served()
    # The nightly run, which builds the same bytes again.
    summary = tiny.run(SETTLED, "training.seed=2")
    assert "Trainer" not in ran(summary)
    assert (summary["status"], summary["exit_code"], summary["pushed"]) == ("not_blessed", 4, None)
    assert summary["error"].startswith(f"this very model was rolled back as version {two}, so it is not pushed again; ")
    assert all(gate["passed"] for gate in summary["gates"])
    assert tiny.served() == before
    # Another model is pushed; of four versions two stay.
    summary = tiny.run(SETTLED, "training.seed=3", "push.keep=2")
    assert summary["status"] == "pushed"
    three = summary["pushed"]["version"]
    assert sorted(os.listdir(tiny.destination)) == sorted([served.version, three, history.RECORD])
    assert versions.current(str(tiny.destination)).manifest.withdrawn == served.manifest.withdrawn
    summary = tiny.run(SETTLED, "training.seed=2")
    assert (summary["status"], summary["exit_code"]) == ("not_blessed", 4)


@pytest.mark.slow
def test_a_challenger_stands_beside_what_is_served_until_it_is_promoted(
    tiny: Project, imagegate: Callable[..., Run]
) -> None:
    [one] = os.listdir(tiny.destination)
    settings = (SETTLED, "training.seed=2", "push.as=challenger")
    first = tiny.run(*settings)
    beside = first["pushed"]["version"]
    assert (first["status"], first["pushed"]["challenger"], int(beside) < int(one)) == ("pushed", True, True)
    assert first["baseline"]["version"] == one
    [whole] = [told for told in first["baseline"]["regressions"]["numbers"] if not told["where"]]
    assert whole["numbers"]["example_count"] > 0
    assert versions.current(str(tiny.destination)).version == one
    assert sorted(os.listdir(tiny.destination)) == sorted([one, beside, aliases.FOLDER])
    again = tiny.run(*settings)
    assert (again["status"], again["stages"], again["pushed"]["version"]) == ("up_to_date", [], beside)
    promoted = imagegate("promote", tiny.config)
    assert promoted.code == 0, promoted
    now = versions.current(str(tiny.destination))
    assert (now.manifest.promoted_from, now.manifest.compared_with) == (beside, one)
    third = tiny.run(*settings)  # compared with itself now
    assert (third["status"], third["pushed"]) == ("up_to_date", {"path": now.path, "version": now.version})
    assert versions.challenger(str(tiny.destination)) is None
    told = json.loads(imagegate("served", tiny.config, "--json").out)
    assert [entry["version"] for entry in told] == [one, now.version]
    assert told[1]["data_fingerprint"] == now.manifest.data_fingerprint != ""


def test_a_url_is_pushed_to_compared_with_and_predicted_from(tiny: Project, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"push.destination=file://{tiny.folder}/store"
    first = tiny.run(SETTLED, url)
    assert (first["status"], first["baseline"]) == ("pushed", None)
    assert first["pushed"]["path"] == f"file://{tiny.folder}/store/{first['pushed']['version']}"
    assert tiny.run(SETTLED, url)["stages"] == []
    second = tiny.run(SETTLED, url, "training.seed=2")
    assert second["status"] == "pushed"
    assert second["baseline"]["version"] == first["pushed"]["version"]
    assert second["baseline"]["metrics"] == first["metrics"]
    assert sorted(os.listdir(tiny.folder / "store")) == [r["pushed"]["version"] for r in (first, second)]
    images = [str(tiny.folder / "data" / "1" / f"{i}.png") for i in range(3)]
    answers = []
    for model in (f"file://{tiny.folder}/store", second["pushed"]["path"].removeprefix("file://")):
        capsys.readouterr()
        assert cli.main(["predict", model, *images, "--json"]) == 0
        answers.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert answers[0] == answers[1]
    assert len(answers[0]) == 3


def test_a_damaged_record_of_the_served_data_says_what_to_do(tiny: Project) -> None:
    [old] = tiny.destination.iterdir()
    Path(old, "images.npy").unlink()
    summary = tiny.run(SETTLED, "balance.max_ratio=50")
    assert (summary["status"], summary["exit_code"]) == ("failed", 1)
    assert summary["error"].startswith(
        f"version {old.name} is served, but these data cannot be compared with its data: "
    )
    assert summary["error"].endswith(f"imagegate rollback CONFIG), or remove {old}")
