"""The names that people give to splits: `Training`, `test_set`, `Val Images`, `trainannot`."""

from __future__ import annotations

import functools
import re

KEYWORDS = {
    "train": "train",
    "training": "train",
    "eval": "eval",
    "evaluation": "eval",
    "val": "eval",
    "valid": "eval",
    "validation": "eval",
    "dev": "eval",
    "development": "eval",
    "test": "test",
    "testing": "test",
}

# FER2013 and competitions call the test images whose answers are published first, and those whose are last, so.
_TESTS = {"public": "eval", "private": "test"}

# Words that stand beside the keyword and mean nothing of their own.
_FILL = {
    *("set", "sets", "data", "dataset", "split", "splits", "folder", "folders", "dir", "directory", "files"),
    *("image", "images", "img", "imgs", "photo", "photos", "pic", "pics", "picture", "pictures", "samples"),
    *("mask", "masks", "label", "labels", "annot", "annots", "annotation", "annotations", "gt", "groundtruth"),
    *("a", "b", "of", "the", "new", "final"),
}
# "testset" and "trainannot", but also "trainTest" and "Train2017": a word ends where small letters do.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_SEPARATORS = re.compile(r"[\W_]*")
_GLUED = re.compile(
    f"({'|'.join(sorted(KEYWORDS, key=len, reverse=True))})({'|'.join(w for w in _FILL if len(w) > 2)})"
)


@functools.lru_cache(maxsize=4096)
def split_of(name: str) -> str | None:
    """The split that a folder, a key or a cell names; None for any other name.

    It is one of `KEYWORDS` as a whole word, in any case, alone or beside words such as "set", "images" or a number.

    >>> [split_of(name) for name in ("Training", "test_set", "VAL-Images", "trainannot", "train2017")]
    ['train', 'test', 'eval', 'train', 'train']
    >>> [split_of(name) for name in ("Training", "PublicTest", "PrivateTest")]  # the first test set is for choosing
    ['train', 'eval', 'test']
    >>> [split_of(name) for name in ("test tube 7", "trainer", "trainval", "bus", "2017")]
    [None, None, None, None, None]
    """
    words = _words(name)
    splits = {KEYWORDS[word] for word in words if word in KEYWORDS}
    if splits == {"test"} and (which := [word for word in words if word in _TESTS]):
        splits, words = {_TESTS[which[0]]}, [word for word in words if word != which[0]]
    others = [word for word in words if word not in KEYWORDS]
    return splits.pop() if len(splits) == 1 and all(word in _FILL or word.isdecimal() for word in others) else None


def _words(name: str) -> list[str]:
    """Cuts a name into words in lower case; empty if it holds anything but words, numbers and separators."""
    if not _SEPARATORS.fullmatch(_WORD.sub("", name)):
        return []
    words: list[str] = []
    for word in _WORD.findall(name):
        glued = _GLUED.fullmatch(word.lower())
        words += glued.groups() if glued else (word.lower(),)
    return words
