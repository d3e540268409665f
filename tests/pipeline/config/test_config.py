"""The configuration: what is right becomes settings, what is wrong a sentence that names the key."""

import hashlib
import json
import os
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.base.errors import ConfigError
from components.gates.settings import DataGateLimits
from components.ingest.settings import Source
from pipeline.config import Config, load, validated
from pipeline.config.checks import check_labels

LEAST: dict[str, Any] = {
    "name": "pets",
    "task": "single_label",
    "data": {"root": "images"},
    "push": {"destination": "served"},
}


def write(folder: Path, content: str | dict[str, Any]) -> str:
    path = folder / "imagegate.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def config(folder: Path, *overrides: str, **sections: Any) -> Config:
    return load(write(folder, LEAST | sections), overrides)


def error(folder: Path, content: str | dict[str, Any], *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, content), overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(str(folder), "DIR")


def test_the_least_configuration_has_sensible_defaults(tmp_path: Path) -> None:
    defaults = config(tmp_path)
    assert defaults.data_root == f"{tmp_path}/images"
    assert defaults.output_folder == f"{tmp_path}/runs/pets"
    assert defaults.destination == f"{tmp_path}/served"
    assert dict(defaults.data.split) == {"train": 0.8, "eval": 0.1, "test": 0.1}
    assert (defaults.balance.min_examples, defaults.training.backbone) == (10, "small")


@pytest.mark.parametrize(
    ("root", "absolute"),
    [
        ("images", "DIR/images"),
        ("./a/../images", "DIR/images"),
        ("../elsewhere", "PARENT/elsewhere"),
        ("/data/images", "/data/images"),
        ("~/images", "HOME/images"),
        ("gs://bucket/images", "gs://bucket/images"),
    ],
)
def test_paths_count_from_the_files_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, absolute: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir("/")
    expected = (
        absolute.replace("DIR", str(tmp_path)).replace("PARENT", str(tmp_path.parent)).replace("HOME", "/home/me")
    )
    assert config(tmp_path, data={"root": root}).data_root == expected


def test_a_relative_path_to_the_file_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, LEAST)
    monkeypatch.chdir(tmp_path)
    assert load("imagegate.yaml").data_root == f"{tmp_path}/images"


def least(**sections: Any) -> dict[str, Any]:
    return LEAST | sections


def threshold(**fields: Any) -> dict[str, Any]:
    return least(evaluation={"thresholds": [fields]})


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "missing key": ({"name": "pets"}, "task: this key is missing"),
    "missing inner key": (least(data={}), "data.root: this key is missing"),
    "unknown key": (
        least(trainig={}),
        "trainig: unknown key; expected one of balance, beam, data, decisions, evaluation",
    ),
    "unknown inner key": (
        least(training={"epoch": 3}),
        "training.epoch: unknown key; expected one of augment, backbone",
    ),
    "unknown key in a list": (
        threshold(metric="accuracy", mn=1),
        "evaluation.thresholds.0.mn: unknown key; expected one of confidence, label, max, ",
    ),
    "folder is ours": (least(folder="/"), "folder: unknown key"),
    "no name": (least(name="a b"), "name: expected text that matches .*, got 'a b'"),
    "a path as name": (least(name="../x"), "name: expected text that matches"),
    "other task": (
        least(task="regression"),
        "task: expected 'single_label', 'multi_label' or 'segmentation', got 'regression'",
    ),
    "text for a number": (least(training={"epochs": "many"}), "training.epochs: expected a whole number, got 'many'"),
    "half an epoch": (least(training={"epochs": 1.5}), "training.epochs: expected a whole number, got 1.5"),
    "number for text": (least(data={"root": 7}), "data.root: expected text, got 7"),
    "nothing for a section": (least(training=None), "training: expected keys and values, got null"),
    "list for a section": (least(balance=[]), r"balance: .*got \[\]"),
    "negative": (least(training={"learning_rate": -1}), "training.learning_rate: .*greater than 0, got -1"),
    "not a number": (
        least(training={"learning_rate": float("nan")}),
        "training.learning_rate: .*finite number, got nan",
    ),
    "above one": (least(data={"root": "x", "max_bad_fraction": 2}), "data.max_bad_fraction: .*less than or equal to 1"),
    "one side": (least(training={"image_size": [3]}), "training.image_size.1: this key is missing"),
    "no side": (least(training={"image_size": [3, 0]}), "training.image_size.1: .*greater than 0, got 0"),
    "split short": (least(data={"root": "x", "split": {"train": 0.5}}), "data.split: train .* must be 1, got 0.7"),
    "split empty": (
        least(data={"root": "x", "split": {"train": 0.9, "test": 0}}),
        "data.split: test must be above 0",
    ),
    "one label": (
        least(labels={"names": ["cat"]}),
        "labels.names: task single_label needs two or more labels, got 1: with one label",
    ),
    "label twice": (least(labels={"names": ["a", "b", "a"]}), "labels.names: 'a' is listed twice"),
    "label twice in two spellings": (
        least(labels={"names": ["\u00e9", "e\u0301"]}),
        "labels.names: 'é' is listed twice",
    ),
    "yes and no": (least(labels={"names": [True, False]}), "labels.names.0: expected text, got true"),
    "two aims": (
        least(decisions={"threshold": {"precision": 0.9, "recall": 0.9}}),
        r"decisions.threshold: .*expected f1",
    ),
    "no aim": (least(decisions={"threshold": {}}), "decisions.threshold: .*expected f1"),
    "other aim": (least(decisions={"threshold": "f2"}), "decisions.threshold.*'f1'.*got 'f2'"),
    "precision above one": (least(decisions={"threshold": {"precision": 2}}), "decisions.threshold.*got 2"),
    "less familiar than all": (least(decisions={"abstain_below": 1.5}), "decisions.abstain_below: .*got 1.5"),
    "mixed precision": (least(training={"mixed_precision": "x"}), "training.mixed_precision: .*got 'x'"),
    "weights": (least(training={"label_weights": {"cat": -1}}), "training.label_weights.cat: .*got -1"),
    "pickle": (least(training={"backbone": "x.h5"}), "training: backbone: x.h5: loading such a file may run code"),
    "nothing to freeze": (least(training={"freeze_epochs": 3}), "training: freeze_epochs: backbone 'small'"),
    "nothing to train": (least(training={"epochs": 0}), "training: epochs: expected 1 or more"),
    "no metric": (threshold(metric="accurracy", min=1), "thresholds.0: metric: expected one of accuracy, "),
    "metric of a label": (threshold(metric="recall", min=1), "thresholds.0: metric: .* got 'recall'; add `label`"),
    "metric of the whole": (
        threshold(metric="accuracy", label="*", min=1),
        "got 'accuracy'; remove `label`",
    ),
    "confidence of a drop": (
        threshold(metric="accuracy", max_drop=0.1, confidence=0.9),
        "thresholds.0: accuracy: confidence applies to min, max and min_gain only, not to max_drop",
    ),
    "confidence of a mean": (
        threshold(metric="macro_f1", min=0.1, confidence=0.9),
        "evaluation.thresholds.0: confidence: metric 'macro_f1' has no confidence interval; .* one of accuracy",
    ),
    "confidence of an area": (
        threshold(metric="auc", label="*", min=0.1, confidence=0.9),
        "confidence: metric 'auc' has no confidence interval; .* precision, recall, f1, specificity, binary_accuracy",
    ),
    "a gain in probabilities": (
        threshold(metric="loss", min_gain=0.1),
        "min_gain: trivial methods answer without probabilities and have no loss; choose one of accuracy, balanced",
    ),
    "a gain of a label that a constant answer has": (
        threshold(metric="recall", label="*", min_gain=0.1),
        "min_gain: trivial methods answer without probabilities and have no recall; choose one of f1",
    ),
    "confidence of a gain in a mean": (
        threshold(metric="f1", label="*", min_gain=0.1, confidence=0.9),
        "confidence: the gain in 'f1' of a label over a trivial method has no interval; remove the key",
    ),
    "a gain of more than everything": (
        threshold(metric="accuracy", min_gain=10),
        "thresholds.0.min_gain: accuracy is between 0 and 1; got 10; did you mean 0.1?",
    ),
    "a slice that is no column": (
        threshold(metric="accuracy", slice="fund", min=0.1),
        "evaluation.thresholds.0.slice",
    ),
    "no confidence": (threshold(metric="accuracy", min=0, confidence=0), "confidence: .*greater than 0, got 0"),
    "certainty": (threshold(metric="accuracy", min=0, confidence=1), "confidence: .*less than 1, got 1"),
    "no examples": (threshold(metric="accuracy", min=0, min_examples=0), "min_examples: .*greater than 0, got 0"),
    "column of every value": (
        threshold(metric="accuracy", min=0, slice={"hue": "*"}),
        "unknown slice column 'hue'",
    ),
    "a label called every label": (
        threshold(metric="recall", label="*", min=1) | {"labels": {"names": ["*", "dog"]}},
        r'evaluation.thresholds: "\*" means every label, but a label has this name; rename',
    ),
    "a slice of a label called every label": (
        threshold(metric="accuracy", slice={"label": "*"}, min=1) | {"labels": {"names": ["*", "dog"]}},
        r'evaluation.thresholds: "\*" means every label, but a label has this name; rename',
    ),
    "no metric of TFMA": (
        least(evaluation={"tfma_metrics": ["AUC", "Auk"]}),
        "evaluation.tfma_metrics: 'Auk' is not one of AUC, ",
    ),
    "no setting of TFMA": (
        least(evaluation={"tfma_metrics": [{"class_name": "AUC", "config": {"bins": 1}}]}),
        "evaluation.tfma_metrics: AUC: config: .*'bins'",
    ),
    "no key of TFMA": (
        least(evaluation={"tfma_metrics": [{"class": "AUC"}]}),
        "evaluation.tfma_metrics.0.class: unknown key; expected one of class_name, config",
    ),
    "no list of TFMA": (
        least(evaluation={"tfma_metrics": "AUC"}),
        "evaluation.tfma_metrics: expected a list, got 'AUC'",
    ),
    "no bound": (
        threshold(metric="accuracy"),
        "thresholds.0: accuracy: a threshold without a limit; give min, max, max_drop or min_gain",
    ),
    "percent": (
        threshold(metric="accuracy", min=95),
        "thresholds.0.min: accuracy is between 0 and 1; got 95; did you mean 0.95?",
    ),
    "ece above one": (threshold(metric="ece", max=1.5), "thresholds.0.max: ece is between 0 and 1; got 1.5"),
    "far above one": (threshold(metric="ece", max=950), "thresholds.0.max: ece is between 0 and 1; got 950"),
    "below zero": (threshold(metric="loss", max=-1), "thresholds.0.max: loss is 0 or more; got -1"),
    "negative accuracy": (
        threshold(metric="accuracy", min=-0.1),
        "thresholds.0.min: accuracy is between 0 and 1; got -",
    ),
    "drop in percent": (
        threshold(metric="recall", label="*", max_drop=5),
        "thresholds.0.max_drop: recall is between 0 and 1; got 5; did you mean 0.05?",
    ),
    "negative drop": (
        threshold(metric="accuracy", max_drop=-0.1),
        "max_drop: expected a value greater than or equal to 0",
    ),
    "seed below zero": (
        least(training={"seed": -1}),
        "training.seed: expected .* or equal to 0, got -1",
    ),
    "seed too large": (least(training={"seed": 2**32}), "training.seed: expected .* 4294967292, got 4294967296"),
    "seed as text": (least(training={"seed": "1"}), "training.seed: expected a whole number, got '1'"),
    "unknown backbone": (
        least(training={"backbone": "mobilenetV3small"}),
        "training.backbone: 'mobilenetV3small' is neither small, nor .*; did you mean MobileNetV3Small?",
    ),
    "no backbone at all": (least(training={"backbone": "net"}), "keras.applications.* which has ConvNeXtBase, .* more"),
    "bounds crossed": (threshold(metric="accuracy", min=0.9, max=0.1), "accuracy: min 0.9 is above max 0.1"),
    "slice column": (threshold(metric="accuracy", min=0, slice={"hue": "x"}), "unknown slice column 'hue'"),
    "slices": (
        least(evaluation={"slices": [["label", "hue"]]}),
        "evaluation: unknown slice column 'hue'; expected one of label, format",
    ),
    "label of a threshold": (
        threshold(metric="recall", label="emu", min=1) | {"labels": {"names": ["cat", "dog"]}},
        "evaluation.thresholds: unknown label 'emu'; expected one of 'cat', 'dog'",
    ),
    "label of a weight": (
        least(labels={"names": ["cat", "dog"]}, training={"label_weights": {"emu": 2}}),
        "training.label_weights: unknown label 'emu'; expected one of 'cat', 'dog'",
    ),
    "output is data": (least(output="images"), "output: DIR/images must not be data.root DIR/images, or contain it"),
    "data in output": (least(output="."), "output: DIR must not be data.root DIR/images, or contain it"),
    "pushed onto data": (
        least(push={"destination": "images"}),
        "push.destination: DIR/images must not be data.root DIR/images, or",
    ),
    "images without labels among the labels": (
        least(data={"root": "images", "unlabelled": "images"}),
        "data.unlabelled: DIR/images must not be data.root",
    ),
    "agreement without epochs": (
        least(training={"unlabelled": "consistency", "recipe": "fast", "backbone": "EfficientNetB0"}),
        "training: unlabelled: consistency needs epochs that train the whole network",
    ),
    "others are the data": (
        least(evaluation={"out_of_distribution": "images"}),
        "evaluation.out_of_distribution: DIR/images must not be data.root",
    ),
    "pushed into output": (
        least(push={"destination": "runs/pets/x"}),
        "push.destination: .* must not be inside output ",
    ),
    "output in pushed": (least(output="served/runs"), "push.destination: .* must not be inside output "),
    "output elsewhere": (
        least(output="gs://bucket/x"),
        "output: expected a folder on this machine, got the URL gs://bucket/x",
    ),
    "data in pushed behind a URL": (
        least(data={"root": "s3://b/images"}, push={"destination": "s3://b/"}),
        "push.destination: s3://b/ must not be data.root s3://b/images, or",
    ),
    "pushed into output by a URL": (
        least(output="/tmp/runs/x", push={"destination": "file:///tmp/runs/x/served"}),
        "push.destination: file:///tmp/runs/x/served must not be inside output /tmp/runs/x, or",
    ),
    "artifacts in a folder": (
        least(output={"artifacts": "/data/runs"}),
        "output.artifacts: expected the URL of a folder in a store, such as s3://BUCKET/FOLDER, got /data/runs; outp",
    ),
    "artifacts through a cache": (
        least(output={"artifacts": "simplecache::s3://b/runs"}),
        "output.artifacts: expected the URL of a folder in a store, .* got simplecache::s3://b/runs; ",
    ),
    "artifacts are the data": (
        least(data={"root": "s3://b/images"}, output={"artifacts": "s3://b/images"}),
        "output.artifacts: s3://b/images must not be data.root s3://b/images, or contain it",
    ),
    "artifacts where models are pushed": (
        least(output={"artifacts": "s3://b/x/runs"}, push={"destination": "s3://b/x"}),
        "output.artifacts: s3://b/x/runs must not be inside push.destination s3://b/x, or contain it",
    ),
    "artifacts in the output": (
        least(output={"folder": "/tmp/runs/x", "artifacts": "file:///tmp/runs/x/pipeline"}),
        "output.artifacts: file:///tmp/runs/x/pipeline must not be inside output /tmp/runs/x, or contain it",
    ),
    "query in artifacts": (least(output={"artifacts": "s3://b/x?key=1"}), "output.artifacts: the URL has a query"),
    "password in artifacts": (
        least(output={"artifacts": "s3://me:secret@b/x"}),
        "output.artifacts: the URL holds a password",
    ),
    "query": (least(push={"destination": "https://host/x?sig=1"}), "push.destination: the URL has a query"),
    "keep nothing": (least(push={"destination": "x", "keep": 0}), "push.keep: .*greater than or equal to 1, got 0"),
    "keep yes": (least(push={"destination": "x", "keep": True}), "push.keep: expected a whole number, got true"),
}


def test_a_password_in_a_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    for where in ("s3://me:secret@bucket/x", "sftp://:secret@host/x", "s3://me:a/secret@b/x", "https://secret@host/x"):
        told = error(tmp_path, least(push={"destination": where}))
        assert told == (
            "DIR/imagegate.yaml: push.destination: the URL holds a password, which would end up in manifests and logs; "
            "leave it out, and give it as the store expects it: in the environment, or in fsspec's configuration "
            "(line 5)"
        )


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("data.root", {"data": {"root": "s3://me:secret@bucket/x"}}),
        ("evaluation.out_of_distribution", {"evaluation": {"out_of_distribution": "s3://me:secret@bucket/x"}}),
        ("data.unlabelled", {"data": {"root": "x", "unlabelled": "s3://me:secret@bucket/x"}}),
        ("kubeflow.pipeline_root", {"kubeflow": {"pipeline_root": "s3://me:secret@bucket/x"}}),
        ("beam.0", {"beam": ["--job_endpoint=http://me:secret@host:8099"]}),
        ("data.exclude.0.reason", {"data": {"root": "x", "exclude": [{"path": "a", "reason": "http://a:secret@b"}]}}),
    ],
)
def test_a_password_in_any_other_url_is_refused(tmp_path: Path, key: str, told: dict) -> None:
    found = error(tmp_path, least(**told))
    assert found.startswith(f"DIR/imagegate.yaml: {key}: the URL holds a password")
    assert "secret" not in found


@pytest.mark.parametrize(
    ("beam", "variable"),
    [
        (["--s3_secret_access_key=secret"], "AWS_SECRET_ACCESS_KEY"),
        (["--s3_session_token", "secret"], "AWS_SESSION_TOKEN"),
        (["--azure_connection_string=AccountKey=secret"], "AZURE_STORAGE_CONNECTION_STRING"),
    ],
)
def test_a_secret_among_the_options_of_beam_is_refused(tmp_path: Path, beam: list[str], variable: str) -> None:
    found = error(tmp_path, least(beam=["--streaming", *beam]))
    assert found.startswith(f"DIR/imagegate.yaml: beam.1: {beam[0].partition('=')[0]} holds a secret, which reports")
    assert f"set {variable} in the environment" in found
    assert "=secret" not in found


def test_a_wrong_value_is_shown_without_the_password_in_it(tmp_path: Path) -> None:
    found = error(tmp_path, least(training={"epochs": "s3://me:secret@bucket"}))
    assert "training.epochs: expected a whole number, got 's3://***@bucket'" in found


def test_a_destination_may_be_a_url(tmp_path: Path) -> None:
    there = config(tmp_path, push={"destination": "s3://bucket/served", "keep": None})
    assert (there.destination, there.push.keep) == ("s3://bucket/served", None)
    assert config(tmp_path).push.keep == 5
    beside = {"data": {"root": "s3://bucket/images"}, "push": {"destination": "s3://bucket/images-served"}}
    assert config(tmp_path, **beside).destination == "s3://bucket/images-served"


def manifest(columns: object = None, labels: object = None, task: str = "multi_label", **data: Any) -> dict[str, Any]:
    told = {"root": "images", "layout": "manifest", "manifest": "labels.csv"} | data
    return least(task=task, data=told | ({} if columns is None else {"columns": columns}), labels=labels or {})


def masks(labels: object = None, evaluation: object = None, **data: Any) -> dict[str, Any]:
    told = {"root": "images", "layout": "masks", "images": "pictures", "masks": "masks"} | data
    names = {"names": ["sky", "road", "void"]}
    return least(task="segmentation", data=told, labels=names | (labels or {}), evaluation=evaluation or {})


def coco(task: str, labels: object = None, **data: Any) -> dict[str, Any]:
    told = {"root": "images", "layout": "coco", "annotations": "instances.json"} | data
    return least(task=task, data=told, labels=labels or {})


def rules(**fields: Any) -> dict[str, Any]:
    return {"thresholds": [{"min": 0.5, **fields}]}


# Each layout and task with something that belongs to another one.
CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "manifest in folders": (
        least(data={"root": "x", "manifest": "a.csv"}),
        "data: manifest belongs to layout manifest, ",
    ),
    "images in folders": (
        least(data={"root": "x", "images": "a"}),
        "data: images belongs to layout manifest, masks, coco, ",
    ),
    "columns in folders": (
        least(data={"root": "x", "columns": {"image": "x"}}),
        "data: columns belongs to layout manifest, not to f",
    ),
    "separator in folders": (least(data={"root": "x", "separator": ","}), "data: separator belongs to layout manifest"),
    "masks in folders": (
        least(data={"root": "x", "masks": "a"}),
        "data: masks belongs to layout masks, coco, not to folders",
    ),
    "suffix in folders": (least(data={"root": "x", "mask_suffix": "a"}), "data: mask_suffix belongs to layout masks"),
    "suffix in a manifest": (
        manifest(image_suffix="_x"),
        "data: image_suffix belongs to layout masks, not to manifest",
    ),
    "lists in coco": (coco("multi_label", lists="a.txt"), "data: lists belongs to layout masks, voc, not to coco"),
    "annotations in masks": (
        masks(annotations="a.json"),
        "data: annotations belongs to layout coco, yolo, .*, not to masks",
    ),
    "a manifest without a manifest": (manifest(manifest=None), "data: layout manifest needs the key manifest"),
    "masks without masks": (masks(masks=None), "data: layout masks needs the key masks"),
    "masks without images": (masks(images=None), "data: layout masks needs the key images"),
    "coco without annotations": (coco("multi_label", annotations=None), "data: layout coco needs the key annotations"),
    "a list of folders in coco": (
        coco("multi_label", images=["a", "b"]),
        "data: images: layout coco takes one folder, ",
    ),
    "rows of labels in 0/1 columns": (
        manifest({"labels": ["a", "b"]}, rows="label"),
        "data.rows: applies only to task multi_label with one column of names",
    ),
    "a prefix in folders": (least(data={"root": "x", "prefix": "a"}), "data: prefix belongs to layout manifest"),
    "splits of a manifest": (
        manifest(images={"train": "a"}),
        "data: images: layout manifest takes one folder or a list, or null",
    ),
    "splits twice": (
        manifest({"split": "part"}, manifest={"train": "a.csv", "test": "b.csv"}),
        "data.columns.split: data.manifest already has one table per split",
    ),
    "other layout": (
        least(data={"root": "x", "layout": "kitti"}),
        "data.layout: expected 'folders', 'manifest', 'm",
    ),
    "folders of several labels": (
        least(task="multi_label"),
        "data.layout: expected one of manifest, coco, .* for task multi_label, got folders",
    ),
    "folders of masks": (
        least(task="segmentation"),
        "data.layout: expected one of masks, coco, .* for task segmentation, got folders",
    ),
    "a manifest of masks": (
        manifest(task="segmentation"),
        "data.layout: expected one of .* for task segmentation, got manifest",
    ),
    "masks of a single label": (
        masks() | {"task": "single_label"},
        "data.layout: expected one of folders, manifest, .* for .*, got masks",
    ),
    "coco of a single label": (coco("single_label"), "data.layout: expected one of .* for task single_label, got coco"),
    "no names": (
        manifest(labels={"names": []}),
        "labels.names: expected names of labels, got an empty list; leave the key out",
    ),
    "positive of several labels": (
        manifest(labels={"names": ["a", "b"], "positive": "a"}),
        "labels.positive: has no effect for task multi_label with layout manifest",
    ),
    "positive of masks": (masks({"positive": "sky"}), "labels.positive: has no effect for task segmentation"),
    "positive of three": (
        least(labels={"names": ["a", "b", "c"], "positive": "a"}),
        "labels.positive: needs exactly two labels, this one and the negative one; there are 3: 'a', 'b', 'c'",
    ),
    "positive elsewhere": (
        least(labels={"names": ["a", "b"], "positive": "c"}),
        "labels.positive: expected one of the labels, 'a' or 'b'; got 'c'",
    ),
    "empty of a single label": (least(labels={"empty": "none"}), "labels.empty: has no effect for task single_label"),
    "empty of masks": (masks({"empty": "none"}), "labels.empty: has no effect for task segmentation"),
    "empty of coco": (coco("multi_label", {"empty": "none"}), "labels.empty: has no effect .* with layout coco"),
    "empty of 0/1 columns": (
        manifest({"labels": ["a", "b"]}, {"empty": "none"}),
        "labels.empty: applies to a column of names only; in 0/1 columns, an empty cell means unknown",
    ),
    "ignore of images": (least(labels={"ignore": "a"}), "labels.ignore: has no effect for task single_label"),
    "ignore of several labels": (manifest(labels={"ignore": 1}), "labels.ignore: has no effect for task multi_label"),
    "background of files": (masks({"background": "sky"}), "labels.background: has no effect .* with layout masks"),
    "background of tags": (
        coco("multi_label", {"background": "sky"}),
        "labels.background: has no effect for task multi",
    ),
    "colours of regions": (coco("segmentation", {"colors": {"a": 1}}), "labels.colors: has no effect .* layout coco"),
    "count_ignored of images": (least(labels={"count_ignored": True}), "labels.count_ignored: has no effect for task"),
    "count_ignored of nothing": (
        masks({"count_ignored": True}),
        "labels.count_ignored: no pixels are ignored; set labels.i",
    ),
    "masks without names": (
        masks({"names": None}),
        "labels.names: this key is missing; masks hold numbers or colours, so list the names",
    ),
    "one name and the ignored": (
        masks({"names": ["sky", "void"], "ignore": "void"}),
        "labels.names: expected 2 to 253 different labels to learn, got 1",
    ),
    "ignored elsewhere": (masks({"ignore": "dog"}), "labels.ignore: 'dog' is not among labels.names"),
    "ignored below zero": (
        masks({"ignore": -1}),
        "labels.ignore: expected text or a value greater than or equal to 0, got -1",
    ),
    "ignored yes": (masks({"ignore": True}), "labels.ignore: expected text or a whole number, got true"),
    "colours of other names": (masks({"colors": {"sky": [0, 0, 9]}}), "labels.colors: 'road' has no colour"),
    "one colour twice": (
        masks({"colors": {"sky": [1, 2, 3], "road": [1, 2, 3], "void": [0, 0, 0]}}),
        "labels.colors: two names have the same colour or id",
    ),
    "tfma of pixels": (
        masks(evaluation={"tfma_metrics": ["AUC"]}),
        "evaluation.tfma_metrics: TFMA has no metrics of pixels",
    ),
    "confidence of pixels": (
        masks(evaluation=rules(metric="frequency_weighted_iou", confidence=0.9)),
        "metric 'frequency_weighted_iou' has no confidence interval; .* pixel_accuracy, mean_class_accuracy, mean_iou",
    ),
    "colours and ids": (masks({"colors": {"sky": [0, 0, 0], "road": 1, "void": 2}}), "labels.colors: road: expected"),
    "no colour": (masks({"colors": {"sky": [0, 0, 256]}}), "labels.colors.sky.2: .*less than or equal to 255, got 256"),
    "half a colour": (masks({"colors": {"sky": [0, 0]}}), "labels.colors.sky.2: this key is missing"),
    "no label columns": (
        manifest({"labels": []}),
        "data.columns.labels: expected the names of the label columns, got an empty list",
    ),
    "unknown column": (
        manifest({"label": "x"}),
        "data.columns.label: unknown key; expected one of applies, group, image, labels, s",
    ),
    "one column twice": (
        manifest({"image": "file", "labels": "file"}),
        "data.columns: 'file' cannot be both image and labels; each needs a column of its own",
    ),
    "one label twice": (manifest({"labels": ["a", "b", "a"]}), "data.columns: 'a' cannot be both labels and labels"),
    "a blank column": (manifest({"group": " "}), "data.columns.group: expected the name of a column, got ' '"),
    "a label that rings": (manifest({"labels": ["a", "\x07"]}), "data.columns.labels: .* cannot be a label name"),
    "a slice of ours": (
        manifest({"slices": ["format"]}),
        "data.columns.slices: 'format' is the name of a built-in slice",
    ),
    "separator of 0/1 columns": (
        manifest({"labels": ["a", "b"]}, separator=","),
        "data.separator: applies only to cells that hold several names",
    ),
    "separator of a single label": (
        manifest({"labels": "kind"}, task="single_label", separator=","),
        "data.separator: applies only to cells that hold several names",
    ),
    "slices of masks": (
        masks(evaluation={"slices": ["label"]}),
        "evaluation: unknown slice column 'label'; .* format",
    ),
    "metric of images for masks": (
        masks(evaluation=rules(metric="accuracy")),
        "evaluation.thresholds.0: metric: expected one of pixel_accuracy, mean_class_accuracy, mean_iou",
    ),
    "metric of a label for masks": (
        masks(evaluation=rules(metric="iou")),
        "expected one of .*; got 'iou'; add `label`",
    ),
    "metric of several labels for one": (
        least(evaluation=rules(metric="exact_match")),
        "expected one of accuracy, balanced_accuracy, .*, .*_loss, .*_ece, abstained, regressions; got 'exact_match' ",
    ),
    "threshold for the ignored": (
        masks({"ignore": "void"}, rules(metric="iou", label="void")),
        "evaluation.thresholds: unknown label 'void'; expected one of 'sky', 'road'",
    ),
    "weight of the ignored": (
        masks({"ignore": 2}) | {"training": {"label_weights": {"void": 2}}},
        "training.label_weights: unknown label 'void'; expected one of 'sky', 'road'",
    ),
    "learning rate": (
        least(training={"learning_rate": 1.5}),
        "training.learning_rate: expected at most 1, got 1.5; beyond, training does not converge",
    ),
    "whole number": (
        least(training={"batch_size": 2**63}),
        "training.batch_size: expected at most 9223372036854775807, got 9223372036854775808",
    ),
    "weight beyond float32": (
        least(labels={"names": ["a", "b"]}, training={"label_weights": {"a": 1, "b": 1e30}}),
        "training.label_weights.b: expected at most 1,000,000, got 1,000,000,000,000,000,",
    ),
    "no weight": (
        least(labels={"names": ["a", "b"]}, training={"label_weights": {"a": 0, "b": 0}}),
        "training.label_weights: every weight is 0, so nothing would be learnt",
    ),
    "balanced softmax of several labels": (
        least(task="multi_label", training={"imbalance": "balanced_softmax"}),
        "training.imbalance: balanced_softmax is for one label per image or pixel; logit_adjustment does the same for",
    ),
    "balanced sampling of several labels": (
        least(task="multi_label", training={"imbalance": "balanced_sampling"}),
        "training.imbalance: balanced_sampling is for one label per image, as images of rare labels are drawn more",
    ),
    "synthetic images of several labels": (
        least(task="multi_label", training={"synthetic": {"method": "mixup"}}),
        "training.synthetic: images are made for labels of which each image has one, not for task multi_label",
    ),
    "guesses of pixels": (
        masks({}) | {"training": {"unlabelled": "propagation"}},
        "training.unlabelled: propagation guesses the labels of images, not those of pixels",
    ),
    "a head of pixels": (
        masks({}) | {"training": {"imbalance": "retrained_head"}},
        "training.imbalance: retrained_head solves a head for labels of images; for masks, choose logit_adjustment",
    ),
    "certainty": (
        least(evaluation=rules(metric="accuracy", min=1, confidence=0.95)),
        "evaluation.thresholds.0.min: a confidence bound never reaches 1,",
    ),
    "other loss": (least(training={"loss": "hinge"}), "training.loss: expected 'cross_entropy' or 'focal', got"),
}


@pytest.mark.parametrize(("content", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_setting_that_contradicts_the_task_or_the_layout_is_named(
    tmp_path: Path, content: dict[str, Any], message: str
) -> None:
    lines = error(tmp_path, content).splitlines()
    assert all(line.startswith("DIR/imagegate.yaml: ") for line in lines)
    assert any(re.match(f"DIR/imagegate.yaml: .*{message}", line) for line in lines), lines


# The same sections, without what contradicts them.
FINE: dict[str, dict[str, Any]] = {
    "manifest": manifest({"image": "f", "labels": ["a", "b"], "slices": ["camera"], "group": "patient", "weight": "w"}),
    "a column of names": manifest({"labels": "tags"}, {"empty": "none"}, separator=","),
    "a manifest of a single label": manifest({"labels": "kind", "split": "part"}, task="single_label"),
    "a table for each split": manifest(manifest={"train": "train/metadata.csv", "validation": "val/metadata.csv"}),
    "a single question": manifest({"labels": ["a"]}, {"names": ["a"]}),
    "positive": least(labels={"names": ["a", "b"], "positive": "b"}),
    "masks": masks({"ignore": "void", "count_ignored": True}, rules(metric="iou", label="sky")),
    "masks of each split": masks({"ignore": 255}, images={"train": "a", "val": "b"}, masks={"train": "c", "val": "d"}),
    "Pascal VOC": masks({"ignore": 255}, lists={"train": "train.txt", "val": "val.txt"}),
    "colours": masks({"ignore": "void", "colors": {"sky": [0, 0, 9], "road": [1, 2, 3], "void": [0, 0, 0]}}),
    "coco of several labels": coco("multi_label"),
    "coco of masks": coco("segmentation", {"background": "ground", "ignore": "crowd"}, images={"train": "a"}),
}


@pytest.mark.parametrize("content", FINE.values(), ids=FINE)
def test_settings_that_fit_together_are_accepted(tmp_path: Path, content: dict[str, Any]) -> None:
    found = load(write(tmp_path, content))
    assert found.task == content["task"]
    assert found.source.data.layout == content["data"].get("layout", "folders")


def test_slices_may_be_columns(tmp_path: Path) -> None:
    told = {"evaluation": {"slices": [["label", "camera"]], **rules(metric="loss", max=1, slice={"camera": "night"})}}
    found = load(write(tmp_path, manifest({"slices": ["camera"]}) | told))
    assert found.columns == {"label": "label", "format": "image/format", "camera": "slice/camera"}
    assert found.slices == (("camera",), ("camera", "label"))


@pytest.mark.parametrize(("task", "expected"), [("single_label", (("label",),)), ("segmentation", ())])
def test_evaluation_is_sliced_by_label_unless_configured_otherwise(
    tmp_path: Path, task: str, expected: tuple[tuple[str, ...], ...]
) -> None:
    assert load(write(tmp_path, masks() if task == "segmentation" else LEAST)).slices == expected
    nothing = {"evaluation": {"slices": []}}
    assert load(write(tmp_path, (masks() if task == "segmentation" else LEAST) | nothing)).slices == ()


def test_the_source_travels_as_json_without_settings_of_later_stages(tmp_path: Path) -> None:
    content = masks({"names": ["sky", "caf\u0065\u0301"], "colors": {"sky": 0, "café": 255}}, mask_suffix="_m")
    source = load(write(tmp_path, content)).source
    assert Source.from_json(source.to_json()) == source
    assert (source.exclusive, source.per_pixel) == (True, True)
    assert (source.data.root, source.data.mask_suffix) == (f"{tmp_path}/images", "_m")
    assert (source.labels.names, source.labels.colors) == (("sky", "café"), {"sky": 0, "café": 255})
    later = {"max_bad_fraction": 0.5, "schema_file": "schema.pbtxt"}
    others = masks({"names": ["sky", "café"], "colors": {"sky": 0, "café": 255}}, mask_suffix="_m", **later)
    assert load(write(tmp_path, others)).source == source


def test_excluded_images_travel_as_plain_values(tmp_path: Path) -> None:
    (tmp_path / "skip.csv").write_bytes(b"path,reason\ncat/1.jpg,blurred\n=\xff.jpg,\n")
    config = load(write(tmp_path, least(data={"root": "images", "exclude": "skip.csv"})))
    rows = [{"path": "cat/1.jpg", "reason": "blurred"}, {"path": "=\udcff.jpg", "reason": "no reason given"}]
    assert [{key: dict(one)[key] for key in ("path", "reason")} for one in config.source.exclude] == rows
    assert Source.from_json(config.source.to_json()) == config.source
    # Another machine has no such file.
    (tmp_path / "skip.csv").unlink()
    with pytest.raises(ConfigError, match=r"data\.exclude: .*/skip\.csv: No such file.*check CONFIG -o issues\.csv"):
        _ = config.source
    (tmp_path / "skip.csv").write_bytes(b"path,reason\ncat/1.jpg,blurred\n=\xff.jpg,\n")
    moved = json.loads(json.dumps(config.portable() | {"folder": str(tmp_path / "other")}))
    assert validated(moved).source.exclude == config.source.exclude


def test_what_is_published_names_no_excluded_file_and_no_machine(tmp_path: Path) -> None:
    (tmp_path / "skip.csv").write_text("path,reason\ncat/anna.jpg,blurred\n")
    settings = least(data={"root": "images", "exclude": "skip.csv"}, output={"folder": "out"})
    config = load(write(tmp_path, settings | {"beam": ["--direct_num_workers=2"]}))
    told = config.published()
    assert {"data", "name", "task"} <= set(told)
    assert not {"beam", "output", "kubeflow", "notify", "sinks"} & set(told)
    assert "anna" not in json.dumps(told)
    rows = json.dumps(config.portable()["data"]["exclude"], sort_keys=True)
    assert told["data"]["exclude"] == {"sha256": hashlib.sha256(rows.encode()).hexdigest()}
    assert "anna" in rows


def test_what_is_kept_is_the_gates_and_does_not_read_the_data_again(tmp_path: Path) -> None:
    table = tmp_path / "issues.csv"
    table.write_text("path,kind,decision\na.jpg,dark,keep\nb.jpg,,exclude\nc.jpg,,\n")
    config = load(write(tmp_path, least(data={"root": "images", "exclude": "issues.csv"})))
    assert [one.path for one in config.source.exclude] == ["b.jpg", "c.jpg"]  # the last one only for the note on it
    (kept,) = config.data_gate_limits.kept
    assert (kept.path, kept.kind) == ("a.jpg", "dark")
    assert DataGateLimits.from_json(config.data_gate_limits.to_json()) == config.data_gate_limits
    source = config.source
    table.write_text("path,kind,decision\na.jpg,dark,keep\nb.jpg,,exclude\nc.jpg,,\nd.jpg,grey,keep\n")
    assert config.source == source
    assert len(config.data_gate_limits.kept) == 2


def test_excluded_images_may_stand_in_the_configuration(tmp_path: Path) -> None:
    entries = [{"path": "*_blur.jpg", "reason": "blurred"}, {"path": "old"}]
    first, second = load(write(tmp_path, least(data={"root": "images", "exclude": entries}))).source.exclude
    assert (first.path, first.reason, second.path, second.reason) == ("*_blur.jpg", "blurred", "old", "no reason given")
    with pytest.raises(ConfigError, match=r"data\.exclude.*expected text, got 10"):
        load(write(tmp_path, least(data={"root": "images", "exclude": [{"path": 10}]})))


def kubeflow(**keys: Any) -> dict[str, Any]:
    return least(kubeflow=keys)


WRONG |= {
    "kubeflow: no image": (kubeflow(image="a b"), "kubeflow.image: expected text that matches"),
    "kubeflow: no digest": (kubeflow(image="a@sha256:12"), "kubeflow.image: expected text that matches"),
    "kubeflow: other root": (
        kubeflow(pipeline_root="/artifacts"),
        "kubeflow.pipeline_root: expected text that matches",
    ),
    "kubeflow: no resource": (
        kubeflow(gpu={"resource": "nvidia"}),
        "kubeflow.gpu.resource: expected text that matches",
    ),
    "kubeflow: half a GPU": (kubeflow(gpu={"count": 0.5}), "kubeflow.gpu.count: expected a whole number"),
    "kubeflow: unknown key of gpu": (
        kubeflow(gpu={"kind": "x"}),
        "kubeflow.gpu.kind: unknown key; expected one of count",
    ),
    "kubeflow: no amount": (kubeflow(memory="16 GB"), "kubeflow.memory: expected text that matches .*, got '16 GB'"),
    "kubeflow: no amount of a stage": (
        kubeflow(stages={"Evaluator": {"cpu": True}}),
        "kubeflow.stages.Evaluator.cpu: expected text, got true",
    ),
    "kubeflow: unknown key of a stage": (
        kubeflow(stages={"Evaluator": {"gpu": 1}}),
        "kubeflow.stages.Evaluator.gpu: unknown key; expected one of cpu, cpu_request, memory, memory_request",
    ),
    "kubeflow: two memories": (
        kubeflow(memory="8Gi", stages={"Trainer": {"memory": "16Gi"}}),
        "kubeflow: stages.Trainer.memory: 16Gi, but memory, which is also the Trainer's, is 8Gi",
    ),
    "kubeflow: a request above the default limit": (
        kubeflow(stages={"Trainer": {"memory_request": "17Gi"}}),
        "kubeflow: stages.Trainer.memory_request: expected at most the limit memory, 16Gi; got 17Gi",
    ),
    "kubeflow: a request above the limit": (
        kubeflow(stages={"Evaluator": {"cpu": "500m", "cpu_request": 1}}),
        "kubeflow: stages.Evaluator.cpu_request: expected at most the limit cpu, 500m; got 1",
    ),
    "kubeflow: shared memory as large as memory": (
        kubeflow(memory="8Gi", shared_memory="8192Mi"),
        "kubeflow: shared_memory: expected less than memory, 8Gi, of which it is a part; got 8192Mi",
    ),
    "kubeflow: relative mount": (
        kubeflow(volumes={"claim": "data"}),
        "kubeflow: volumes.claim: expected an absolute path to mount it at, got 'data'",
    ),
    "kubeflow: everything mounted": (kubeflow(volumes={"claim": "//"}), "volumes.claim: expected an absolute path"),
    "kubeflow: one path for two claims": (
        kubeflow(volumes={"a": "/data", "b": "/data/"}),
        "kubeflow: volumes: two claims are mounted at /data",
    ),
    "kubeflow: no claim's name": (
        kubeflow(volumes={"My_Claim": "/a"}),
        "kubeflow.volumes.My_Claim.*: expected text that matches",
    ),
    "kubeflow: a secret's value": (
        kubeflow(secrets=[{"secret": "store", "key": "id", "env": "A", "value": "x"}]),
        "kubeflow.secrets.0.value: unknown key; expected one of env, key, secret",
    ),
    "kubeflow: two secrets for one variable": (
        kubeflow(secrets=[{"secret": "a", "key": "b", "env": "A"}, {"secret": "c", "key": "d", "env": "A"}]),
        "kubeflow: secrets: two secrets set the variable A",
    ),
    "kubeflow: a taint without a key": (kubeflow(tolerations=[{"value": "x"}]), "tolerations.0: key: operator Equal"),
    "kubeflow: a value that does not count": (
        kubeflow(tolerations=[{"key": "gpu", "operator": "Exists", "value": "x"}]),
        "kubeflow.tolerations.0: value: 'x' has no effect with operator Exists",
    ),
    "no SavedModel": (
        least(push={"destination": "m", "formats": ["litert"]}),
        r"push: formats: saved_model is missing, which every version holds; write \[saved_model, litert\]",
    ),
    "a format twice": (
        least(push={"destination": "m", "formats": ["saved_model", "onnx", "onnx"]}),
        "push: formats: onnx is named twice",
    ),
    "required, but not exported": (
        least(push={"destination": "m", "required_formats": ["litert-int8"]}),
        "push: required_formats: litert-int8 is not exported; add it to push.formats",
    ),
    "a format that is none": (
        least(push={"destination": "m", "formats": ["saved_model", "tflite"]}),
        "push.formats.1: .*'litert', 'litert-int8'",
    ),
    "kubeflow: tried forever": (kubeflow(retries=-1), "kubeflow.retries: .*greater than or equal to 0"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_named(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    lines = error(tmp_path, content).splitlines()
    assert all(line.startswith("DIR/imagegate.yaml: ") for line in lines)
    assert re.search(message, "\n".join(lines))


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    text = error(tmp_path, least(name="a b", training={"epochs": "x"}, balance={"min_examples": 0}))
    assert [line.split(": ")[1] for line in text.splitlines()] == ["name", "balance.min_examples", "training.epochs"]


YAML = {
    "duplicate": ("name: a\nname: b\n", "the key 'name' is repeated.*line 2"),
    "inner duplicate": ("training: {seed: 1, seed: 2}\n", "the key 'seed' is repeated"),
    "not closed": ("data: {root: x\n", "not valid YAML"),
    "tab": ("data:\n\troot: x\n", "not valid YAML"),
    "list": ("- a\n", "expected keys and values, .* got a list"),
    "text": ("hello\n", "expected keys and values, .* got text"),
    "empty": ("", "expected keys and values, .* got nothing"),
    "number as key": ("1: 2\n", "1: unknown key"),
    "number as inner key": ("training: {1: 2}\n", "training.1: "),
    "aliases of aliases": ("a: &a [*a]\n", "not valid YAML: aliases expand to more than"),
    "endless number": (f"name: {'9' * 5000}\n", "not valid YAML"),
    "deep": ("[" * 5000, "not valid YAML"),
    "code": ("!!python/object/apply:os.system [ls]\n", "the tag .* is not supported; remove it .line 1"),
    "list as key": ("? [a]\n: 1\n", "expected text as a key, got a list or a mapping .line 1"),
    "control characters": ("name: \x07\n", "not valid YAML"),
}


@pytest.mark.parametrize(("text", "message"), YAML.values(), ids=YAML)
def test_malformed_or_ambiguous_yaml_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert re.match(f"DIR/imagegate.yaml: .*{message}", error(tmp_path, text), re.DOTALL)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "imagegate.yaml"
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(ConfigError, match=r"imagegate\.yaml: not UTF-8 text"):
        load(str(path))


@pytest.mark.parametrize(("name", "reason"), [("none.yaml", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: {reason}; `imagegate init` writes a configuration file"):
        load(f"{tmp_path}/{name}")


def test_yaml_merges_do_not_count_as_duplicates(tmp_path: Path) -> None:
    text = yaml.safe_dump(LEAST) + (
        "evaluation:\n  thresholds:\n  - &first {metric: accuracy, min: 0.5}\n  - {<<: *first, metric: macro_f1}\n"
    )
    first, second = load(write(tmp_path, text)).evaluation.thresholds
    assert (first.metric, second.metric, second.min) == ("accuracy", "macro_f1", 0.5)


def test_words_and_dates_are_text_and_errors_name_the_line(tmp_path: Path) -> None:
    text = "name: x\ntask: single_label\npush: {destination: 2020-13-45}\nlabels: {names: [no, yes]}\n"
    found = load(write(tmp_path, text + "data: {root: images, max_pixels: 010}\n"))
    assert (found.labels.names, found.push.destination, found.data.max_pixels) == (("no", "yes"), "2020-13-45", 10)
    wrong = error(tmp_path, text + "data: {root: images}\ntraining:\n  augment: on\n")
    assert wrong == "DIR/imagegate.yaml: training.augment: expected true or false, got 'on' (line 7)"


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "1E-3", ".1e-2", "0.001"])
def test_a_small_number_may_be_written_in_every_way(tmp_path: Path, text: str) -> None:
    assert (
        load(write(tmp_path, yaml.safe_dump(LEAST) + f"training: {{learning_rate: {text}}}\n")).training.learning_rate
        == 0.001
    )


OVERRIDES = {
    "inner": ("training.epochs=3", lambda c: c.training.epochs, 3),
    "top": ("name=dogs", lambda c: c.name, "dogs"),
    "list": ("training.image_size=[8, 9]", lambda c: c.training.image_size, (8, 9)),
    "nothing": ("balance.max_ratio=null", lambda c: c.balance.max_ratio, None),
    "small number": ("training.learning_rate=1e-4", lambda c: c.training.learning_rate, 1e-4),
    "equals sign": ("data.root=a=b", lambda c: c.data.root, "a=b"),
    "section": ("data.split={train: 0.6, eval: 0.2, test: 0.2}", lambda c: c.data.split.train, 0.6),
}


@pytest.mark.parametrize(("override", "get", "value"), OVERRIDES.values(), ids=OVERRIDES)
def test_overrides_win(tmp_path: Path, override: str, get: Any, value: Any) -> None:
    assert get(config(tmp_path, override)) == value


def test_the_last_override_wins(tmp_path: Path) -> None:
    assert config(tmp_path, "training.seed=2", "training.seed=3").training.seed == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "--set training.epochs: expected KEY=VALUE, such as training.epochs=3"),
        ("=3", "--set =3: expected KEY=VALUE"),
        ("name.first=x", "--set name.first=x: name is a value, not a section"),
        ("training.epochs=[", r"--set training.epochs=\[: not valid YAML"),
        ("training.augment=yes", "training.augment: expected true or false, got 'yes'"),
        ("training.epoch=3", "training.epoch: unknown key"),
        ("training.epochs=three", "training.epochs: .*got 'three'"),
        ("training={seed: 1, seed: 2}", "--set .*: the key 'seed' is repeated"),
    ],
)
def test_wrong_overrides_are_named(tmp_path: Path, override: str, message: str) -> None:
    assert re.search(message, error(tmp_path, LEAST, override))


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        config(tmp_path).training.epochs = 3


def test_label_names_are_composed_as_those_of_the_data(tmp_path: Path) -> None:
    nfd = unicodedata.normalize("NFD", "café")
    composed = config(
        tmp_path,
        training={"label_weights": {nfd: 2}},
        evaluation={"thresholds": [{"metric": "recall", "label": nfd, "min": 0, "slice": {"label": nfd}}]},
    )
    check_labels(composed, ["café", "tea"])
    with pytest.raises(ConfigError, match="unknown label 'café'; expected one of 'tea'"):
        check_labels(composed, ["tea"])


def test_metrics_of_tfma_are_given_by_name_or_with_settings(tmp_path: Path) -> None:
    given = ["AUC", {"class_name": "Precision", "config": {"thresholds": 0.3}}]
    found = config(tmp_path, evaluation={"tfma_metrics": given}).evaluation.tfma_metrics
    assert [m.model_dump() for m in found] == [
        {"class_name": "AUC", "config": {}},
        {"class_name": "Precision", "config": {"thresholds": 0.3}},
    ]


def test_every_slice_value_is_evaluated_and_every_label_is_known(tmp_path: Path) -> None:
    rules = [
        {"metric": "accuracy", "slice": {"format": "*"}, "min": 0.5, "min_examples": 20, "confidence": 0.9},
        {"metric": "recall", "label": "*", "slice": {"label": "*", "format": "png"}, "min": 0},
    ]
    found = config(tmp_path, evaluation={"slices": [], "thresholds": rules})
    assert found.slices == (("format",), ("format", "label"))
    check_labels(found, ["cat"])


def test_every_label_and_no_label_are_always_known(tmp_path: Path) -> None:
    rules = [{"metric": "recall", "label": "*", "min": 0}, {"metric": "accuracy", "min": 0}]
    check_labels(config(tmp_path, evaluation={"thresholds": rules}), [])


@pytest.mark.parametrize(
    ("training", "freeze_epochs"),
    [
        ({}, 0),
        ({"backbone": "MobileNetV3Small"}, 20),
        ({"backbone": "MobileNetV3Small", "weights": None}, 0),
        ({"backbone": "x.keras", "weights": None}, 20),
        ({"backbone": "x.keras", "freeze_epochs": 0}, 0),
    ],
)
def test_a_pretrained_backbone_is_frozen_first(tmp_path: Path, training: dict[str, Any], freeze_epochs: int) -> None:
    assert config(tmp_path, training=training).training.head_epochs(masks=False) == freeze_epochs


def test_the_fingerprint_changes_with_every_setting(tmp_path: Path) -> None:
    variants = [
        "training.seed=2",
        "balance.min_examples=9",
        "name=dogs",
        "data.split={train: 0.6, eval: 0.3}",
        "beam=[a]",
    ]
    prints = {config(tmp_path, override).fingerprint() for override in variants}
    assert len(prints | {config(tmp_path).fingerprint()}) == len(variants) + 1
    assert config(tmp_path).fingerprint() == config(tmp_path, "training.seed=1").fingerprint()


def test_where_kubeflow_runs_it_changes_no_result(tmp_path: Path) -> None:
    settings = config(tmp_path, kubeflow={"image": "a/b:1", "stages": {"Evaluator": {"cpu": 2, "memory": "1.5Gi"}}})
    assert settings.fingerprint() == config(tmp_path).fingerprint()
    assert settings.kubeflow.stages["Evaluator"].cpu == "2"


def test_a_link_does_not_hide_that_folders_lie_in_one_another(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to("images")
    assert "must not be data.root" in error(tmp_path, least(output="link"))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3))
KEYS = st.sampled_from([*Config.model_fields, "root", "split", "epochs", "names", "thresholds"])


@settings(max_examples=150)
@given(st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, max_size=3), max_size=3))
def test_any_values_are_settings_or_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, sections: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        assert load(write(folder, yaml.safe_dump(LEAST | sections, allow_unicode=True))).name
    except ConfigError as wrong:
        message = str(wrong)
    else:
        return
    assert message.startswith(os.path.join(folder, "imagegate.yaml: "))


@settings(max_examples=150)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_refused_with_a_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    with pytest.raises(ConfigError, match=r"imagegate\.yaml: "):
        load(write(folder, text))


def test_a_positive_label_is_held_against_the_labels_in_the_data_where_none_are_named(tmp_path: Path) -> None:
    told = config(tmp_path, labels={"positive": "sick"})
    check_labels(told, ["healthy", "sick"])
    with pytest.raises(ConfigError, match=r"labels\.positive: expected one of the labels, 'a' or 'b'; got 'sick'"):
        check_labels(told, ["a", "b"])
    with pytest.raises(ConfigError, match=r"needs exactly two labels, .*; there are 3: 'a', 'b', 'sick'"):
        check_labels(told, ["a", "b", "sick"])
