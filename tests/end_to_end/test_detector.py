"""One label alone: no classifier is trained, but images unlike it are told apart; and a folder of such can be gated."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from projects import Project, ran

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def one(tiny: Project) -> Project:
    """The digit 0, and a backbone whose features are what stands in each quarter of an image."""
    import keras

    pixels = keras.Input((None, None, 3))
    x = keras.layers.AveragePooling2D(2)(keras.layers.Rescaling(1 / 255)(pixels))
    edges = keras.layers.Conv2D(
        16, 3, padding="same", activation="relu", kernel_initializer=keras.initializers.Orthogonal(seed=1)
    )(x)
    keras.Model(pixels, edges).save(str(tiny.folder / "backbone.keras"))
    shutil.rmtree(tiny.folder / "models")
    for digit in "12":
        shutil.rmtree(tiny.folder / "data" / digit)
    for i in range(12):
        noise = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)
        (tiny.folder / "unknown").mkdir(exist_ok=True)
        Image.fromarray(noise).save(tiny.folder / "unknown" / f"{i}.png")
    return tiny


SETTINGS = (
    "training.backbone=backbone.keras",
    "balance.near_duplicate_distance=null",
    "data.split={train: 0.4, eval: 0.3, test: 0.3}",
    "evaluation.out_of_distribution=unknown",
)
RULES = "evaluation.thresholds=[{metric: out_of_distribution_auroc, min: %s}, {metric: abstained, max: 0.9}]"


def test_a_detector_is_pushed_and_recognises_images_that_are_not_its_label(one: Project) -> None:
    summary = one.run(*SETTINGS, RULES % 0.8)
    assert summary["status"] == "pushed", summary["error"]
    assert summary["metrics"]["out_of_distribution_auroc"] >= 0.8
    assert summary["decisions"]["labels"]["0"]["threshold"] == pytest.approx(0.01)
    signature = tf.saved_model.load(summary["pushed"]["path"]).signatures["serving_default"]
    known = sorted((one.folder / "data" / "0").glob("*.png"))[:5]
    other = sorted((one.folder / "unknown").glob("*.png"))
    answers = [signature(image_bytes=tf.constant([p.read_bytes() for p in paths])) for paths in (known, other)]
    for answer in answers:
        np.testing.assert_array_equal(answer["probabilities"][:, 0], answer["familiarity"])
    assert answers[0]["familiarity"].numpy().mean() > answers[1]["familiarity"].numpy().mean()
    # Another folder of out-of-distribution images runs the gate again.
    shutil.rmtree(one.folder / "unknown")
    shutil.copytree(one.folder / "data" / "0", one.folder / "unknown")  # these are known
    summary = one.run(*SETTINGS, RULES % 0.8)
    assert (summary["status"], summary["exit_code"]) == ("not_blessed", 4)
    assert "out_of_distribution_auroc is " in summary["error"]
    assert "Trainer" not in ran(summary)


def test_metrics_that_do_not_apply_to_a_detector_are_refused(one: Project) -> None:
    from components.base.errors import ConfigError

    message = r"'accuracy' does not apply to a model with the only label '0', .* expected one of abst"
    with pytest.raises(ConfigError, match=message):
        one.run(*SETTINGS, "evaluation.thresholds=[{metric: accuracy, min: 0.5}]")


def test_without_a_pretrained_backbone_one_label_is_too_few(one: Project) -> None:
    summary = one.run("balance.near_duplicate_distance=null")
    assert (summary["status"], summary["exit_code"]) == ("data_rejected", 3)
    assert "labels is 1, below the minimum 2: '0'" in summary["error"]
