"""The ids of a public data set whose files do not hold the names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_IDS = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road"),
    *("sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole"),
    *("polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck"),
    *("bus", "caravan", "trailer", "train", "motorcycle", "bicycle"),
)
_LEARNT = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
# End of the masks' names -> name -> id, as in cityscapesScripts, helpers/labels.py.
CITYSCAPES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "_labelTrainIds": {name: i for i, name in enumerate(_LEARNT)},
        "_labelIds": {name: i for i, name in enumerate(_IDS)},
    }
)
