"""`imagegate compare`: which methods apply, what is announced, and the tables in Markdown."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.base.errors import ConfigError
from components.model.comparing.methods import BY_DEFAULT, METHODS
from components.model.comparing.record import Difference, Figure, Method, MethodComparison
from components.model.settings import Training
from components.report.run_summary import RunSummary
from pipeline.config import load
from pipeline.runs import compare

MASKS: dict[str, Any] = {
    "data": {"root": "images", "layout": "masks", "images": "images", "masks": "masks"},
    "labels": {"names": ["a", "b"]},
}
SEVERAL: dict[str, Any] = {
    "data": {"root": "images", "layout": "manifest", "manifest": "a.csv", "columns": {"image": "a", "labels": ["b"]}}
}


def write(folder: Path, task: str = "single_label", **sections: Any) -> str:
    least = {"name": "pets", "task": task, "data": {"root": "images"}, "push": {"destination": "served"}}
    (folder / "imagegate.yaml").write_text(yaml.safe_dump(least | sections))
    return str(folder / "imagegate.yaml")


@pytest.mark.parametrize(
    ("task", "sections", "first", "left_out"),
    [
        ("single_label", {}, "logit_adjustment", set()),
        ("multi_label", SEVERAL, "weights", {"balanced_softmax", "balanced_sampling"}),
        ("segmentation", MASKS, "weights", {"balanced_sampling", "retrained_head"}),
    ],
)
def test_by_default_the_methods_that_apply_are_compared_with_what_a_run_does(
    tmp_path: Path, task: str, sections: dict[str, Any], first: str, left_out: set[str]
) -> None:
    _, plan = compare.configuration(write(tmp_path, task, **sections), (), None, 3)
    assert list(plan.methods) == [first, *(name for name in BY_DEFAULT if name not in {first, *left_out})]


def test_configured_weights_or_methods_are_in_nobodys_way(tmp_path: Path) -> None:
    for first, training in (("weights", {"label_weights": "square_root"}), ("none", {"imbalance": "none"})):
        config, plan = compare.configuration(write(tmp_path, training=training), (), None, 3)
        assert list(plan.methods) == [first, *(name for name in BY_DEFAULT if name != first)]
        told = config.comparison_settings("", plan)
        assert {name: told.of_training(name, 1).imbalance for name in BY_DEFAULT} == {name: name for name in BY_DEFAULT}
    assert compare.configuration(write(tmp_path, training=training), (), " none,weights ,none", 2)[1].methods == {
        "none": {"imbalance": "none", "unlabelled": "none", "synthetic": None, "label_weights": None},
        "weights": {"imbalance": "weights", "unlabelled": "none", "synthetic": None},
    }


def test_methods_for_images_without_labels_can_be_named_where_there_may_be_any(tmp_path: Path) -> None:
    """In a folder, or as rows of a table. They are read even if a run is told to use none."""
    pool = {"data": {"root": "images", "unlabelled": "pool"}, "training": {"unlabelled": "none"}}
    config, plan = compare.configuration(write(tmp_path, **pool), (), "labelled_only,propagation", 3)
    assert plan.methods == {
        "labelled_only": {"unlabelled": "none", "synthetic": None},
        "propagation": {"unlabelled": "propagation", "synthetic": None},
    }
    assert config.pool is not None
    assert compare.configuration(write(tmp_path, **pool), (), "labelled_only,weights", 3)[0].pool is None
    assert compare.configuration(write(tmp_path, "multi_label", **SEVERAL), (), "propagation", 3)[1].methods
    assert compare.configuration(write(tmp_path), (), "labelled_only", 3)[1].methods  # which needs none


def test_seeds_begin_with_the_configured_one(tmp_path: Path) -> None:
    config, plan = compare.configuration(write(tmp_path, training={"seed": 2**32 - 4}), (), "none", 3)
    assert config.comparison_settings("", plan).seeds() == [2**32 - 4, 0, 1]


def test_every_method_is_made_of_keys_of_training() -> None:
    assert {key for overlay in METHODS.values() for key in overlay} <= set(Training.model_fields)


@pytest.mark.parametrize(
    ("task", "methods", "seeds", "message"),
    [
        (
            "single_label",
            "weights",
            1,
            "--seeds: expected 2 or more, because one training tells nothing of chance; got 1",
        ),
        ("single_label", "weigths", 3, "--methods: 'weigths' is no method that can be compared; did you mean weights?"),
        ("single_label", "", 3, "--methods: '' is no method that can be compared; expected some of weights, logit_"),
        (
            "segmentation",
            "weights,balanced_sampling",
            3,
            (
                "--methods: balanced_sampling does not apply here: training.imbalance: balanced_sampling is for one "
                "label per image, as images of rare labels are drawn more often; choose logit_adjustment or weights"
            ),
        ),
        (
            "single_label",
            "weights,consistency",
            3,
            (
                "--methods: consistency does not apply here: there are no images without labels; write down in "
                "data.unlabelled where they are"
            ),
        ),
        (
            "segmentation",
            "propagation",
            3,
            "--methods: propagation does not apply here: training.unlabelled: propagation guesses the labels of images",
        ),
    ],
)
def test_wrong_arguments_are_one_sentence(tmp_path: Path, task: str, methods: str, seeds: int, message: str) -> None:
    path = write(tmp_path, task, **(MASKS if task == "segmentation" else {}))
    with pytest.raises(ConfigError) as caught:
        compare.configuration(path, (), methods, seeds)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_compared_is_said_first(tmp_path: Path) -> None:
    told = compare.announced(*compare.configuration(write(tmp_path), (), "weights,none", 3))
    expected = "comparing weights, none: 3 seeds each, 6 trainings; the first training tells how long they take"
    assert told == expected


FOUND = MethodComparison(
    figures=("mean_iou", "loss"),
    seeds=(1, 2),
    images=1200,
    methods=(
        Method(
            name="weights",
            overlay={},
            figures={
                "mean_iou": Figure(mean=0.5, interval=(0.4, 0.6), values=(0.49, 0.51)),
                "loss": Figure(mean=1.0, interval=(1.0, 1.0), values=(1.0, 1.0)),
            },
            seconds=2.25,
        ),
        Method(
            name="none",
            overlay={},
            figures={
                "mean_iou": Figure(mean=0.625, interval=(0.6, 0.65), values=(0.6, 0.65)),
                "loss": Figure(mean=1.0, interval=(1.0, 1.0), values=(1.0, 1.0)),
            },
            differences={
                "mean_iou": Difference(mean=0.125, interval=(0.1, 0.15)),
                "loss": Difference(mean=0.0, interval=(0.0, 0.0)),
            },
            seconds=1.0,
        ),
        Method(name="retrained_head", overlay={}, reason="too small"),
    ),
)
TABLES = """\
| method | mean IoU | loss | seconds |
|---|---|---|---|
| `weights` | 0.500 ± 0.100 | 1.000 | 2.2 |
| `none` | 0.625 ± 0.025 | 1.000 | 1.0 |
| `retrained_head` | – | – | – |

| minus `weights` | mean IoU | loss |
|---|---|---|
| `none` | +0.125 (+0.100 to +0.150) * | = |

± is the 95 % interval over 2 seeds.
The 95 % interval of a difference is over the seeds and the 1,200 images of eval; \\* marks those that do not hold 0.
retrained_head: too small
"""


def test_the_tables_are_written_as_markdown(tmp_path: Path) -> None:
    config = load(write(tmp_path))
    (tmp_path / "runs/pets").mkdir(parents=True)
    summary = RunSummary(run_id="7", name="pets", task="segmentation", status="compared", comparison=FOUND)
    written = compare.write(config, summary)
    assert written == f"{tmp_path}/runs/pets/compared.md"
    about = "Methods for `pets`, compared by `imagegate compare`, run 7."
    assert Path(written).read_text() == f"{about}\n\n{TABLES}"
    with pytest.raises(ConfigError, match=r"^compare: this run has no comparison$"):
        compare.write(config, summary.model_copy(update={"comparison": None}))


def test_synthetic_images_can_be_compared_where_the_configuration_makes_some(tmp_path: Path) -> None:
    training = {"synthetic": {"method": "mixup", "labels": ["cat"], "up_to": 40}}
    config, plan = compare.configuration(write(tmp_path, training=training), (), "weights,synthetic", 3)
    assert plan.methods["synthetic"] == {"unlabelled": "none"}
    told = config.comparison_settings("", plan)
    assert told.of_training("weights", 1).synthetic is None
    made = told.of_training("synthetic", 1).synthetic
    assert made is not None
    assert (made.method, made.labels, made.up_to) == ("mixup", ("cat",), 40)
    with pytest.raises(ConfigError, match=r"synthetic does not apply here: write down in training\.synthetic which"):
        compare.configuration(write(tmp_path), (), "synthetic", 3)
