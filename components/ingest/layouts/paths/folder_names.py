"""The names that people give to folders of images and of masks: `images`, `img`, `photos`; `masks`, `gt`."""

from __future__ import annotations

import re
from collections.abc import Iterable

_IMAGES = re.compile(
    r"(?:^|[^a-z])(?:images?|imgs?|photos?|pics?|pictures?|frames?|jpe?gs?|pngs?|jpegimages)(?:$|[^a-z])"
)
_IMAGES_ALONE = {"x", "input", "inputs", "data", "rgb", "raw", "original", "originals", "orig"}
# Words in the names of folders that mean masks.
_MASKS = re.compile(
    r"(?:^|[^a-z])(?:masks?|labels?|lbls?|annotations?|annots?|anns?|gt|gts|ground ?truths?|truths?|segs?|"
    r"segmentations?|targets?|trimaps?|semantic|manual\d?|mattes?|gtfine|gtcoarse|labelids|segmentationclass\w*)(?:$|[^a-z])|"
    r"(?:annot|ma?sks?|labels?)(?:$|[^a-z])|^segmentation"
)


def is_image_word(name: str) -> bool:
    """Whether the name of a folder says only that it holds images.

    >>> [is_image_word(n) for n in ("images", "IMG", "img_align_celeba", "images_001", "x", "cat", "imagery")]
    [True, True, True, True, True, False, False]
    """
    low = name.lower()
    return low in _IMAGES_ALONE or _IMAGES.search(low) is not None


def is_mask_word(name: str) -> bool:
    """Whether the name of a folder says that it holds masks.

    >>> [is_mask_word(n) for n in ("masks", "SegmentationClass", "trainannot", "gtFine", "msk", "images", "unmasked")]
    [True, True, True, True, True, False, False]
    """
    return _MASKS.search(name.lower()) is not None and not name.lower().startswith("unmask")


def are_images_and_masks(names: Iterable[str]) -> bool:
    """Whether there are folders of images and folders of masks among these sibling folders.

    >>> are_images_and_masks(["images", "masks"]), are_images_and_masks(["x", "y"]), are_images_and_masks(["cat", "gt"])
    (True, True, False)
    """
    known = set(names)
    masks = {name for name in known if is_mask_word(name)}
    images = {name for name in known - masks if is_image_word(name)}
    return bool(images and masks) or {name.lower() for name in known} == {"x", "y"}
