"""How common each label is, and the adjustment of logits that makes up for it.

Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, equation 10, with tau = 1: the cross-entropy of
z + log(share) in place of z. What is learnt then has the least balanced error, the mean over the labels of the error on
images of the label, and not the least error. "Balanced softmax" (Ren et al., NeurIPS 2020, equation 3) adds the
logarithm of the count, which is the same. The post-hoc form (Menon et al., equation 9) trains without it and subtracts
the same from the logits afterwards. For labels that are independent of each other, the two states of a label take
the place of the labels: z + log(share / (1 - share)).
"""

from __future__ import annotations

import math

from components.data.manifest import LabelCounts


def shares(data: LabelCounts) -> list[float]:
    """Computes the share of each label in the train split, [K].

    Of pixels, it is that among the known pixels; of images, that among the images of which it is known whether the
    label applies. It is 0 where there is none.

    Args:
        data: counts; for labels of pixels with `pixels`.
    """
    if data.pixels:
        own = [cell[0] for cell in data.pixels.get("train", ())][:-1] or [0] * len(data.label_counts)
        return [count / max(1, sum(own)) for count in own]
    known = {label: data.counts["train"] - data.unknown[label]["train"] for label in data.label_counts}
    return [counts["train"] / max(1, known[label]) for label, counts in data.label_counts.items()]


def adjustment(share: list[float], *, exclusive: bool) -> list[float]:
    """Computes what is added to the logits in the loss, or subtracted from them after training, [K].

    Args:
        share: of each label, see `shares`.
        exclusive: whether exactly one label applies.

    A label that applies to nothing, or independent of others to everything, has no share to make up for. Independent,
    its logit is left as it is; else it is treated like the most common label, so that the network learns not to answer
    it.

    >>> adjustment([0.25, 0.75], exclusive=True) == [math.log(0.25), math.log(0.75)]
    True
    >>> adjustment([0.25, 1.0], exclusive=False) == [math.log(1 / 3), 0.0]
    True
    """
    if exclusive:
        most = max(share, default=0.0) or 1.0
        return [math.log(one or most) for one in share]
    return [math.log(one / (1 - one)) if 0 < one < 1 else 0.0 for one in share]
