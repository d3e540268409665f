"""How much the answers of images are worth, of which each image gives several that depend on one another.

A share of labels or pixels is a ratio of two sums over images, R = A / B, A = sum of w a, B = sum of w b. Images are
independent; the labels and pixels of one image are not: a dark photo makes all of them wrong. By linearisation, the
variance of R is n / (n - 1) times the sum of w^2 (a - R b)^2, divided by B^2 (Cochran 1977, Sampling Techniques,
section 6.3). So many independent answers would have this variance: R (1 - R) / variance, their effective number (Korn &
Graubard 1998, Confidence intervals for proportions with small expected number of positive counts estimated from survey
data, Survey Methodology 24, 193-201). Wilson's interval of so many does not collapse where R is near 0 or 1.
"""

from __future__ import annotations

import numpy as np

from components.metrics.base import Floats, effective

ROUNDING = 1e-12  # a sum of squared residuals below this share of its terms is 0


def moments(part: Floats, whole: Floats, weight: Floats) -> Floats:
    """Sums over images that `worth` needs; those of two sets of images add up.

    Args:
        part, whole: a and b of each image, [n, ...], 0 <= a <= b.
        weight: of each image, [n, ...] or [n, 1 ...].

    Returns:
        [5, ...]: of the images with b > 0 the weights and their squares; w^2 a^2, w^2 a b, w^2 b^2.

    >>> moments(np.array([1.0, 0.0]), np.array([2.0, 0.0]), np.ones(2)).tolist()
    [1.0, 1.0, 1.0, 2.0, 4.0]
    """
    there, square = whole > 0, weight**2
    sums = (weight * there, square * there, square * part**2, square * part * whole, square * whole**2)
    return np.stack([np.sum(each, axis=0) for each in sums])


def images(sums: Floats) -> Floats:
    """Effective number of the images with b > 0, from `moments`."""
    return effective(sums[0], sums[1])


def worth(part: Floats, whole: Floats, sums: Floats, most: Floats | float = np.inf) -> Floats:
    """Effective number of independent answers that the share A / B rests on; see the module.

    Where nothing varies, all images right or a single image, the variance is unknown and the answers of one image are
    taken to be all the same: the effective number is that of the images.

    Args:
        part, whole: A and B, [...].
        sums: `moments`, [5, ...].
        most: number of answers (labels, pixels), weighted by Kish; the effective number is never taken to be larger.

    >>> a, b = np.array([2.0, 0.0]), np.array([2.0, 2.0])  # both labels right, both wrong: not worth four answers
    >>> float(worth(a.sum(), b.sum(), moments(a, b, np.ones(2)), most=4))
    1.0
    >>> float(worth(b.sum(), b.sum(), moments(b, b, np.ones(2)), most=4))  # all right: two images
    2.0
    """
    share = np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)
    _, _, aa, ab, bb = sums
    residual, n = aa - 2 * share * ab + share**2 * bb, images(sums)
    varies = (n > 1) & (residual > ROUNDING * bb)
    variance = np.divide(residual * n, whole**2 * (n - 1), out=np.zeros(np.shape(whole)), where=varies)
    return independent(share, variance, n, most)


def independent(value: Floats, variance: Floats, n: Floats, most: Floats | float = np.inf) -> Floats:
    """Number of independent answers whose share `value` has this variance, at most `most`.

    Args:
        value: in [0, 1].
        variance: of the value; 0: unknown.
        n: effective number of images, the result where the variance is unknown.
        most: largest result where it is known.
    """
    known = (variance > 0) & (value * (1 - value) > 0)
    ratio = np.divide(value * (1 - value), variance, out=np.zeros(np.shape(variance)), where=known)
    return np.asarray(np.where(known, np.minimum(ratio, most), n), np.float64)
