"""summary.json and the tables in the terminal, from known numbers."""

import datetime
import io
import json
import math
from pathlib import Path

import pytest
from counting import manifest
from rich.console import Console

from components import metrics
from components.base.errors import ConfigError, ImagegateError
from components.data.dataset import LayoutError
from components.evaluation import comparison
from components.gates.compared import Compared
from components.gates.errors import DataRejected
from components.gates.judge import Rule, judge
from components.gates.records import Found, Suspicions
from components.labels import kinds
from components.push.manifest import PushedManifest
from components.push.versions import Served
from components.report import outcome
from components.report.run_summary import Pushed, ServedModel
from pipeline import config
from pipeline.runs import local, summary
from pipeline.runs.show import show

KEYS = [
    *("run_id", "name", "task", "command", "status", "exit_code", "started", "seconds", "stages", "data"),
    *(
        "imbalance",
        "label_weights",
        "unlabelled",
        "synthetic",
        "tuning",
        "comparison",
        "metrics",
        "per_label",
        "slices",
        "weak_groups",
        "trivial",
        "tfma",
        "baseline",
        "checkpoint",
        "decisions",
        "serving",
        "exports",
        "gates",
        "pushed",
        "report",
        "error",
    ),
    *("notes", "artifacts", "fingerprints", "versions", "configuration"),
]
MANIFEST = manifest(
    counts={"train": 12, "eval": 2, "test": 2},
    label_counts={
        "[red] fox": {"train": 1200, "eval": 1, "test": 1},
        "owl": {"train": 2, "eval": 1, "test": 1},
    },
    unknown={name: {"train": 0, "eval": 1, "test": 0} for name in ("[red] fox", "owl")},
    unlabelled={"train": 0, "eval": 1, "test": 0},
    pixels={},
    labels=["[red] fox", "owl"],
    quarantined=[{"path": "owl/\x1b[2J.png", "reason": "empty file"}],
    ignored=["notes.txt"],
    notes=["2 images with several pages or frames; only the first is used: a.tif, [b].tif"],
    changed={"palette": 1},
    content="abc",
)


@pytest.fixture
def settings(tmp_path: Path) -> config.Config:
    path = tmp_path / "imagegate.yaml"
    path.write_text("name: birds\ntask: single_label\ndata: {root: data}\npush: {destination: models}\n")
    return config.load(str(path))


@pytest.fixture
def one(settings: config.Config) -> summary.Summary:
    return summary.Summary(settings)


@pytest.fixture
def full(one: summary.Summary) -> summary.Summary:
    """A run that pushed."""
    one._read_manifest(MANIFEST, Suspicions())
    one.label_weights = {"[red] fox": 0.5, "owl": 300.0}
    numbers = dict.fromkeys(kinds.kind("single_label").metric_names(["[red] fox", "owl"]), 0.25) | {
        "precision/owl": math.nan
    }
    one.metrics, one.per_label = outcome.split("single_label", numbers, ["[red] fox", "owl"])
    one.gates = [judge(Rule(gate="model_gate", metric="accuracy", minimum=0.2), 0.25)]
    one._read_pushed_model("", {"pushed": 1, "pushed_version": "17", "pushed_destination": "/models/17"})
    return one


def drawn(one: summary.Summary) -> str:
    out = io.StringIO()
    show(one.freeze(), Console(file=out, width=200))
    return out.getvalue()


def strict(path: Path) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="ascii"), parse_constant=refuse)


def test_the_file_has_exactly_the_contract_s_keys(one: summary.Summary, full: summary.Summary, tmp_path: Path) -> None:
    for run in (one, full):
        run.write(str(tmp_path))
        assert list(strict(tmp_path / "summary.json")) == KEYS
    assert not list(tmp_path.glob(".*"))


def test_nan_and_infinity_become_null(full: summary.Summary, tmp_path: Path) -> None:
    full.write(str(tmp_path))
    found = strict(tmp_path / "summary.json")
    assert found["per_label"]["owl"]["precision"] is None
    assert found["per_label"]["owl"]["recall"] == 0.25
    assert sorted(found["per_label"]["owl"]) == sorted(kinds.kind("single_label").per_label)
    assert sorted(found["metrics"]) == sorted([*kinds.kind("single_label").overall, *metrics.COUNTS])


def test_run_ids_sort_by_time_and_differ_within_a_second(settings: config.Config) -> None:
    first, second = summary.Summary(settings), summary.Summary(settings)
    assert first.run_id != second.run_id
    started = datetime.datetime.fromisoformat(first.freeze().started)
    assert first.run_id.startswith(f"{started:%Y%m%dT%H%M%S}-")
    assert started.tzinfo is not None  # RFC 3339


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (ImagegateError("x"), 1, "failed"),
        (ConfigError("x"), 2, "failed"),
        (LayoutError("x"), 3, "data_rejected"),
        (DataRejected([judge(Rule(gate="data_gate", metric="labels", minimum=2), 1)], MANIFEST), 3, "data_rejected"),
    ],
    ids=["broke", "configuration", "layout", "data"],
)
def test_an_error_decides_status_and_exit_code(
    one: summary.Summary, error: ImagegateError, code: int, status: str
) -> None:
    one.fail(error)
    found = json.loads(one.freeze().to_json())
    assert (found["exit_code"], found["status"], found["error"]) == (code, status, str(error))
    assert found["pushed"] is None
    assert bool(found["gates"]) == bool(found["data"]) == isinstance(error, DataRejected)


def test_what_the_data_gate_suspects_is_told_of_refused_data_too(one: summary.Summary) -> None:
    first = Found(path="cat/1.png", reason="too dark", kind="dark", certainty=0.7)
    found = Suspicions(counts={"dark": 2}, first=(first,), notes=("shortcut: label 'cat'",))
    one.fail(DataRejected([judge(Rule(gate="data_gate", metric="labels", minimum=2), 1)], MANIFEST, suspicions=found))
    told = json.loads(one.freeze().to_json())
    assert told["data"]["found"] == {"dark": 2}
    assert told["data"]["findings"] == [first.model_dump()]
    assert "shortcut: label 'cat'" in told["data"]["notes"]
    assert "note: shortcut: label 'cat'" in drawn(one)


def test_a_refusal_by_the_model_gate_names_the_failed_rules(one: summary.Summary) -> None:
    rules = [Rule(gate="model_gate", metric=m, minimum=0.5) for m in ("accuracy", "macro_f1")]
    one.gates = [judge(rule, value) for rule, value in zip(rules, (0.9, 0.1), strict=True)]
    one._read_pushed_model("", {"pushed": 0})
    assert (one.status, one.exit_code) == ("not_blessed", 4)
    assert one.error == "macro_f1 is 0.1, below the minimum 0.5"
    assert drawn(one).splitlines() == [
        "refused by the model gate; the served model is untouched:",
        "  macro_f1 is 0.1, below the minimum 0.5",
    ]


def test_a_model_that_was_rolled_back_is_refused_by_the_model_gate(full: summary.Summary) -> None:
    full.pushed = None
    full._read_pushed_model("", {"pushed": 0, "not_pushed": "this very model was rolled back as version 17"})
    found = json.loads(full.freeze().to_json())
    assert (found["status"], found["exit_code"], found["pushed"]) == ("not_blessed", 4, None)
    assert found["error"] == "this very model was rolled back as version 17"
    assert drawn(full).splitlines()[-2:] == [
        "refused by the model gate; the served model is untouched:",
        "  this very model was rolled back as version 17",
    ]


def test_removed_versions_and_failed_removals_are_noted(full: summary.Summary) -> None:
    properties = {"pushed": 1, "pushed_version": "18", "pushed_destination": "/models/18"}
    full._read_pushed_model("", properties | {"removed": "13, 12", "note": "/models/11 cannot be removed: busy"})
    lines = drawn(full).splitlines()
    assert "removed older versions: 13, 12" in lines
    assert "warning: /models/11 cannot be removed: busy" in lines
    assert lines[-1] == "pushed version 18: 1 threshold held -> /models/18"
    assert full.exit_code == 0


def test_a_refusal_without_a_threshold_says_so(one: summary.Summary) -> None:
    one._read_pushed_model("", {"pushed": 0})
    assert one.exit_code == 4
    assert "add evaluation.thresholds" in one.error
    assert "push.without_thresholds: true" in one.error


def read(run: summary.Summary, folder: Path, verdicts: list[dict], passed: bool) -> None:
    """Reads an evaluation of no numbers, and a push."""
    (folder / "verdicts.json").write_text(json.dumps(verdicts))
    (folder / "metrics").touch()
    comparison.write(str(folder), Compared(why_not="no model is served yet"))
    run._read_evaluation(str(folder), {})
    run._read_pushed_model("", {"pushed": passed, "pushed_version": "17" * passed, "pushed_destination": "/models/17"})


@pytest.fixture
def without(settings: config.Config) -> summary.Summary:
    push = settings.push.model_copy(update={"without_thresholds": True})
    return summary.Summary(settings.model_copy(update={"push": push}))


def test_a_push_without_thresholds_is_warned_of(without: summary.Summary, tmp_path: Path) -> None:
    read(without, tmp_path, [], passed=True)
    without.metrics = {"accuracy": 0.5}
    lines = drawn(without).splitlines()
    assert lines[-1] == "pushed version 17: nothing has judged it -> /models/17"
    assert lines[-2].startswith("warning: no threshold is configured and nothing has judged this model; ")


def test_rules_that_were_not_judged_are_listed_and_do_not_count_as_held(one: summary.Summary, tmp_path: Path) -> None:
    held = vars(judge(Rule(gate="model_gate", metric="accuracy", minimum=0.2), 0.25))
    read(one, tmp_path, [held, held | {"value": None, "reason": "accuracy where camera=dawn"}], passed=True)
    one.metrics = {"accuracy": 0.5}
    lines = drawn(one).splitlines()
    assert "not judged: accuracy where camera=dawn" in lines
    assert "no comparison: no model is served yet" in lines
    assert lines[-1] == "pushed version 17: 1 threshold held, 1 not judged -> /models/17"


def test_the_very_model_that_is_served_is_up_to_date(one: summary.Summary, tmp_path: Path) -> None:
    one._read_pushed_model("", {"pushed": 0, "pushed_version": "17"})
    assert (one.status, one.exit_code) == ("up_to_date", 0)
    assert one.pushed == Pushed(path=str(tmp_path / "models" / "17"), version="17")


def test_an_unchanged_run_shows_the_numbers_of_the_pushed_run(one: summary.Summary, full: summary.Summary) -> None:
    other = summary.Summary(one.config)
    other.up_to_date(Served("17", "/models/17", PushedManifest()), full.freeze())
    same = (
        "data",
        "imbalance",
        "label_weights",
        "unlabelled",
        "synthetic",
        "synthetic",
        "tuning",
        "comparison",
        "metrics",
        "per_label",
        "slices",
        "tfma",
        "baseline",
        "checkpoint",
        "decisions",
        "serving",
        "exports",
        "gates",
        "pushed",
    )
    assert other.freeze().model_dump(include=set(same)) == full.freeze().model_dump(include=set(same))
    assert other.freeze().stages == ()
    assert drawn(other).splitlines()[-1] == "up to date: nothing new since version 17 was pushed"


def test_a_pushed_run_shows_its_tables(full: summary.Summary) -> None:
    lines = [" ".join(line.split()) for line in drawn(full).splitlines()]
    assert lines[:3] == [
        "label train eval test weight precision recall f1",
        "[red] fox 1,200 1 1 0.500 0.250 0.250 0.250",
        "owl 2 1 1 300.000 - 0.250 0.250",
    ]
    # 1 of 16 images, and with it 2 of their 32 labels.
    assert "6.2% of all images have no label; they are not used" in lines
    assert "6.2% of all labels of images are unknown; they are not used" in lines
    assert "quarantined: 1 file; see summary.json" in lines
    assert "ignored: 1 file without a meaning in this layout: notes.txt" in lines
    # The terminal is narrow, so the sentence goes on in the next line.
    assert "note: 2 images with several pages or frames; only the first is used: a.tif, [b].tif" in " ".join(lines)
    assert "accuracy 0.250" in lines
    assert lines[-1] == "pushed version 17: 1 threshold held -> /models/17"


def test_the_served_model_stands_beside_the_new_one(full: summary.Summary) -> None:
    full.baseline = ServedModel(version="16", metrics={"accuracy": 0.5, "ece": None})
    lines = [line.split() for line in drawn(full).splitlines()]
    assert ["metric", "test", "served", "model"] in lines
    assert ["accuracy", "0.250", "0.500"] in lines
    assert ["ece", "0.250", "-"] in lines


def test_no_terminal_escape_is_printed(full: summary.Summary) -> None:
    full.data = full.data.model_copy(update={"ignored": ("\x1b]0;owned\x07.txt", "[bold]x[/bold].png")})
    full.fail(ImagegateError("cannot read \x1b[2J[red]name[/red]"))
    text = drawn(full)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]x[/bold].png" in text
    assert "cannot read \\x1b[2J[red]name[/red]" in text


@pytest.mark.parametrize("content", ["[]", "{", "7", "null", '{"code": 7}', '{"sources": ["a"]}'])
def test_a_damaged_state_file_is_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    assert local.read_state(str(tmp_path)) == {}
    (tmp_path / "state.json").write_text('{"sources": "a"}')  # without a digest of the code, which is then computed
    assert local.read_state(str(tmp_path)) == {"sources": "a"}
