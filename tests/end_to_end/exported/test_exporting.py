"""A run with `push.formats`: what is pushed beside the SavedModel, how predict takes it, and what refuses the run."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from projects import Project, Run, ran

from components.base.artifact_files import BATCHING, WARM_UP
from components.base.digests import of_file
from components.exports import convert
from components.push import versions

pytestmark = pytest.mark.end_to_end

SETTLED = "evaluation.slices=[label]"  # as in the latest of the runs that `tiny` has behind it
FORMATS = "push.formats=[saved_model,litert,litert-int8]"
LIMITS = ("push.max_export_drop=1", "push.min_export_agreement=0")  # a tiny model loses much by 8-bit integers


def rows(run: Run) -> list[dict[str, Any]]:
    assert run.code == 0, run
    return [json.loads(line) for line in run.out.splitlines()]


def test_exports_follow_the_model_that_is_served_already_and_predict_as_it_does(
    tiny: Project, imagegate: Callable[..., Run]
) -> None:
    [before] = (path.name for path in tiny.destination.iterdir())
    summary = tiny.run(SETTLED, FORMATS, *LIMITS)
    assert (summary["status"], summary["error"]) == ("pushed", None)
    assert "Trainer" not in ran(summary)
    served = versions.current(str(tiny.destination))
    assert served.version == summary["pushed"]["version"] != before
    versions.verify(served)
    folder = Path(served.path)
    names = [f"exports/litert{ending}.tflite" for ending in ("", "-int8")]
    assert set(served.manifest.beside) == {"MODEL_CARD.md", *names, "images.npy", WARM_UP, BATCHING}
    assert {name: served.manifest.files[name] for name in names} == {n: of_file(str(folder / n)) for n in names}
    floats, integers = summary["exports"]
    assert (floats["format"], floats["agreement"], set(floats["changes"].values())) == ("litert", 1.0, {0.0})
    assert floats["metrics"]["accuracy"] == summary["metrics"]["accuracy"]
    assert floats["largest_difference"] < 1e-5
    assert integers["megabytes"] < floats["megabytes"] / 2
    assert '<h2 id="exports-title">Exports</h2>' in (tiny.output / "latest" / "report.html").read_text()

    # TensorFlow Serving loads the version, whatever else lies in it.
    assert "serving_default" in tf.saved_model.load(served.path).signatures
    images = sorted(str(path) for path in (tiny.folder / "data" / "0").iterdir())[:5]
    own = rows(imagegate("predict", served.path, *images, "--json"))
    others = rows(imagegate("predict", folder / names[0], *images, "--json"))
    for row, other in zip(own, others, strict=True):
        assert other.keys() == row.keys() - {"familiarity", "abstain"}
        assert other["label"] == row["label"]
        assert other["probabilities"] == pytest.approx(row["probabilities"], abs=1e-5)
    table = imagegate("predict", folder / names[1], *images)
    assert table.code == 0, table
    assert table.out.splitlines()[0].split() == ["image", "label", "probability", "next", "likely"]

    assert tiny.run(SETTLED, FORMATS, *LIMITS)["status"] == "up_to_date"
    with (folder / names[0]).open("ab") as f:
        f.write(b"\0")
    changed = imagegate("predict", folder / names[0], *images)
    assert changed.code == 1
    assert "litert.tflite does not match the model's imagegate.json; it is not loaded" in changed.err


def test_a_wrong_conversion_is_named_and_refuses_the_run_only_where_it_is_required(
    tiny: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers of the file belong to the next label each."""
    right = convert.convert

    def wrong(source: convert.Source, *rest: Any) -> str:
        def rolled(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            own = source.function(pixels)["probabilities"]
            return {"probabilities": tf.concat([own[:, 1:], own[:, :1]], axis=1)}

        source.loaded.pixels = tf.function(
            rolled, input_signature=source.function.structured_input_signature[0], autograph=False
        )
        tf.saved_model.save(source.loaded, str(tmp_path / "rolled"))
        return right(dataclasses.replace(source, folder=str(tmp_path / "rolled")), *rest)

    monkeypatch.setattr(convert, "convert", wrong)
    before, settings = tiny.served(), (SETTLED, "push.formats=[saved_model,litert]")
    summary = tiny.run(*settings)
    assert (summary["status"], summary["exit_code"]) == ("up_to_date", 0)
    [one] = summary["exports"]
    [told] = [note for note in summary["notes"] if "litert" in note]
    assert told.startswith("warning: litert is not pushed: drop of f1 of label '")
    assert one["agreement"] < 1
    assert tiny.served() == before
    summary = tiny.run(*settings, "push.required_formats=[litert]")
    assert (summary["status"], summary["exit_code"], summary["pushed"]) == ("not_blessed", 4, None)
    assert summary["error"] == told.replace("warning", "required", 1)
    assert all(gate["passed"] for gate in summary["gates"])
    assert tiny.served() == before
