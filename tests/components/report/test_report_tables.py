"""Tables and sentences of the page from known numbers."""

import pytest

from components.exports.records import Export
from components.gates.judge import Rule, judge
from components.gates.records import Latency
from components.labels import kinds
from components.report import cells, tables, verdict
from components.report.run_summary import RunSummary

OWN = {"support": 4.0, "precision": 0.5, "recall": 1.0, "f1": 2 / 3, "auc": 0.75, "average_precision": None}
FIELDS = {
    "name": "pets",
    "task": "single_label",
    "status": "pushed",
    "metrics": {"accuracy": 0.75, "loss": 0.5, "uncalibrated_loss": 0.6},
    "per_label": {"cat": OWN, "dog": OWN | {"f1": 0.25}},
    "baseline": {
        "version": "16",
        "metrics": {"accuracy": 0.5, "loss": 0.25},
        "per_label": {"cat": {"f1": 0.5}, "dog": {"f1": 0.5}},
    },
}

EMPTY = RunSummary(name="pets", task="single_label", status="failed")


def summary(**changes: object) -> RunSummary:
    return RunSummary(**FIELDS | changes)


def test_failed_rules_come_first_and_keep_their_ids() -> None:
    held = judge(Rule(gate="data_gate", metric="number of labels", minimum=2), 3)
    failed = judge(
        Rule(gate="model_gate", metric="recall", label="cat", slice={"camera": "night"}, minimum=0.5),
        0.25,
        examples=4,
        interval=(0.05, 0.7),
    )
    rows = verdict.rules([held, failed])
    assert [(row["id"], row["mark"], row["gate"]) for row in rows] == [
        ("rule-2", "failed", "model"),
        ("rule-1", "passed", "data"),
    ]
    first = rows[0]
    assert (first["rule"], first["about"]) == ("recall >= 0.5", "label 'cat', camera=night")
    assert [first[k] for k in ("value", "bound", "interval", "examples")] == ["0.25", "0.5", "0.05 to 0.7", "4"]
    assert [rows[1][k] for k in ("value", "bound", "interval", "examples")] == ["3", "2", "–", "–"]


def test_a_passed_rule_keeps_its_note_and_repeats_nothing() -> None:
    rule = Rule(gate="data_gate", metric="number of labels", minimum=2)
    plain, detailed = judge(rule, 3), judge(rule, 3, detail="'cat', 'dog', 'owl'")
    excused = judge(rule, 1, chance=0.5)
    rows = verdict.rules([plain, detailed, excused])
    assert [row["reason"] for row in rows[:2]] == ["", "'cat', 'dog', 'owl'"]
    assert rows[2]["reason"].endswith("Chance alone can cause a difference of this size (p = 0.5), so the rule passes")


def test_a_rule_that_was_not_judged_is_not_shown_as_passed() -> None:
    judged = judge(Rule(gate="model_gate", metric="recall", minimum=0.5), 1)
    assert verdict.rules([judged.model_copy(update={"value": None})])[0]["mark"] == "not judged"


def test_rules_of_the_model_come_before_rules_of_the_data() -> None:
    rules = [judge(Rule(gate=g, metric="x", minimum=0), 1) for g in ("data_gate", "data_gate", "model_gate")]
    groups = verdict.passed(verdict.rules(rules))
    assert [group["text"] for group in groups] == ["1 rule of the model gate passed", "2 rules of the data gate passed"]
    assert [group["open"] for group in groups] == [True, False]


def test_a_smaller_loss_is_better_and_a_smaller_accuracy_is_worse() -> None:
    tiles = {tile["name"]: tile for tile in verdict.tiles(summary())}
    assert list(tiles) == ["accuracy", "loss"]  # without calibration: in the terminal and summary.json
    # 0.75 - 0.5 = +0.25; 0.5 - 0.25 = +0.25
    assert (tiles["accuracy"]["change"], tiles["accuracy"]["mood"]) == ("▲ +0.250", "good")
    assert (tiles["loss"]["change"], tiles["loss"]["mood"]) == ("▲ +0.250", "bad")


def test_the_comparison_is_a_sentence() -> None:
    # F1 of cat 0.667 - 0.5 > 0, of dog 0.25 - 0.5 < 0
    assert verdict.comparison(summary()) == (
        "Accuracy is 0.750, 0.250 better than the served version 16 (0.500). F1 rose for 1 label and fell for 1."
    )
    served = FIELDS["baseline"] | {"metrics": {"accuracy": 0.75}, "per_label": {}}
    assert verdict.comparison(summary(baseline=served)) == (
        "Accuracy is 0.750, the same as that of the served version 16."
    )
    assert verdict.comparison(summary(baseline=None)) == verdict.comparison(EMPTY) == ""


def test_labels_have_their_metrics_and_the_change_of_f1() -> None:
    table = tables.labels(summary())
    assert table["heads"] == ["label", "support", "precision", "recall", "F1", "AUC", "average precision", "F1 change"]
    cat, dog = table["rows"]
    assert [cell and cell["text"] for cell in cat["cells"]] == [
        *("4", "0.500", "1.000", "0.667", "0.750", None),
        "▲ +0.167",  # 2/3 - 1/2 = 1/6
    ]
    assert (dog["cells"][-1]["text"], dog["cells"][-1]["mood"]) == ("▼ -0.250", "bad")
    assert cat["cells"][1]["bar"] == 0.5


def test_without_a_served_model_there_is_no_change() -> None:
    table = tables.labels(summary(baseline=None))
    assert table["heads"][-1] == "average precision"
    assert tables.labels(EMPTY) is None


@pytest.fixture
def sliced() -> RunSummary:
    def result(where: dict, accuracy: float | None, labels: dict) -> dict:
        return {"slice": where, "metrics": {"accuracy": accuracy, "example_count": 2.0}, "per_label": labels}

    both = {"cat": OWN, "dog": OWN}
    return summary(
        slices=[
            result({"camera": "day"}, 1.0, both),
            result({"camera": "dawn"}, None, {"cat": OWN | {"support": 0.0}}),
            result({"camera": "night"}, 0.25, both),
            result({"camera": "night", "label": "cat"}, 0.5, {"cat": OWN, "dog": OWN | {"support": 0.0}}),
        ]
    )


def test_the_worst_slice_comes_first_and_one_without_a_number_last(sliced: RunSummary) -> None:
    camera, cross = tables.slices(sliced)
    assert [row["name"] for row in camera["table"]["rows"]] == ["night", "day", "dawn"]
    assert camera["table"]["heads"][:3] == ["camera", "examples", "accuracy"]
    assert [detail["name"] for detail in camera["details"]] == ["night", "day"]  # in dawn no label has an example
    assert cross["column"] == "camera × label"
    assert cross["table"]["rows"][0]["name"] == "camera = night, label = cat"
    assert cross["details"] == []  # one label: its row says what the slice's own row says


def test_many_slices_name_how_many_are_not_shown() -> None:
    many = {str(i): OWN for i in range(1000)}
    results = [
        {"slice": {"camera": str(i)}, "metrics": {"accuracy": i / 4, "example_count": 9.0}, "per_label": many}
        for i in range(3)
    ]
    # 1,000 rows of labels fit, 2,000 do not.
    [group] = tables.slices(summary(slices=results))
    assert [detail["name"] for detail in group["details"]] == ["0"]
    assert group["omitted"] == "The labels of 2 further slices are in summary.json."


def test_a_confusion_cell_has_its_count_and_its_share_of_the_row() -> None:
    # cat: 3 of 4 right; dog: none at all
    confusion = {"labels": ["cat", "dog"], "counts": [[3, 1], [0, 0]], "totals": [4, 0], "omitted": 0}
    table = tables.matrix(confusion, kinds.kind("single_label"))
    assert table["unit"] == "images"
    assert table["rows"][0]["cells"] == [
        {"count": "3", "percent": "75", "share": 0.75, "kind": "hit"},
        {"count": "1", "percent": "25", "share": 0.25, "kind": "miss"},
    ]
    assert table["rows"][1]["cells"] == [None, None]


@pytest.mark.parametrize(
    ("n", "text"),
    [(7, "7"), (1.5, "1.5"), (9999, "9,999"), (12_345, "12k"), (1_234_567, "1.2M"), (45_000_000, "45M"), (2e9, "2.0G")],
)
def test_counts_fit_a_cell(n: float, text: str) -> None:
    assert cells.short_count(n) == text


WEAK = {
    "images": 400,
    "fewest": 10,
    "tried": 70,
    "groups": [
        {
            "name": "dark images (brightness below 0.2)",
            "measure": "accuracy",
            "value": 0.25,
            "rest": 0.875,
            "chance": 2e-7,
            "count": 37,
            "images": [("cat/1.jpg", "0a")],
        }
    ],
}


def test_weak_groups_have_their_numbers_beside_those_of_the_rest() -> None:
    [row] = tables.weak_groups(summary(weak_groups=WEAK))["rows"]
    assert row["name"] == "dark images (brightness below 0.2)"
    assert [cell["text"] for cell in row["cells"]] == ["37", "accuracy 0.250", "accuracy 0.875", "2e-07"]
    assert [cell.get("bar") for cell in row["cells"][1:3]] == [0.25, 0.875]
    assert tables.weak_groups(summary(weak_groups=WEAK | {"groups": []})) is None
    assert tables.weak_groups(EMPTY) is None


def test_the_model_stands_above_the_trivial_methods() -> None:
    methods = [{"name": "always answering 'cat'", "numbers": {"accuracy": 0.5, "macro_f1": None}}]
    table = tables.trivial(summary(trivial={"methods": methods}))
    assert table["heads"] == ["method", "accuracy", "balanced accuracy", "macro F1"]
    told = [(row["name"], [cell and cell["text"] for cell in row["cells"]]) for row in table["rows"]]
    assert told == [("this model", ["0.750", None, None]), ("always answering 'cat'", ["0.500", None, None])]
    assert tables.trivial(EMPTY) is None


def test_exports_stand_with_their_costs_and_the_change_of_each_label() -> None:
    good = Export(
        format="litert-int8",
        megabytes=3.994,
        latency_ms=Latency(median=4.25, p95=5),
        agreement=0.9787,
        largest_difference=0.0125,
        mean_difference=0.001,
        metrics={"accuracy": 0.75},
        changes={"cat": -0.125, "dog": 0.0},
    )
    bad = Export(format="onnx", problem="it cannot be converted: no Foo")
    whole, by_label = tables.exports(summary(exports=(good, bad)))
    assert [[cell and cell["text"] for cell in row["cells"]] for row in whole["rows"]] == [
        ["4.0", "4.2", "97.87%", "0.013", "0.001", "0.750", "passed"],
        [None, None, None, None, None, None, "not pushed"],
    ]
    assert by_label["heads"] == ["label", "litert-int8"]
    assert [row["cells"][0]["text"] for row in by_label["rows"]] == ["▼ -0.125", "="]
    assert tables.exports(EMPTY) is None
