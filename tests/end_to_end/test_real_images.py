"""Photos as people have them, through the whole pipeline."""

from pathlib import Path

import pytest
from projects import Project

CONFIG = """\
name: clothing
task: single_label
data: {{root: "{root}"}}
balance: {{min_examples: 5}}
training: {{image_size: [32, 32], epochs: 2, batch_size: 16, imbalance: weights}}
evaluation:
  slices: [format]
  thresholds: [{{metric: accuracy, min: 0.01}}, {{metric: loss, max: 20}}]
push: {{destination: models}}
"""


@pytest.mark.end_to_end
@pytest.mark.real_images
def test_photos_of_clothing_run_through(real_images: Path, tmp_path: Path) -> None:
    root = real_images / "clothing"
    (tmp_path / "imagegate.yaml").write_text(CONFIG.format(root=root))
    summary = Project(tmp_path, "clothing").run()
    assert summary["error"] is None
    assert summary["status"] == "pushed"
    photos = {folder.name: len(list(folder.iterdir())) for folder in root.iterdir() if folder.is_dir()}
    counted = {label: sum(by_split.values()) for label, by_split in summary["data"]["labels"].items()}
    assert counted == photos
    assert summary["data"]["quarantined"] == []
    assert summary["data"]["ignored"] == ["LICENSE"]
    assert summary["metrics"]["example_count"] == summary["data"]["counts"]["test"]
    # 10 labels of 16 to 114 photos: the rarest weigh most.
    weights = summary["label_weights"]
    train = {label: by_split["train"] for label, by_split in summary["data"]["labels"].items()}
    assert max(weights, key=weights.__getitem__) == min(train, key=train.__getitem__)
