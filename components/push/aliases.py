"""The aliases `champion`, the served version, and `challenger`, one that stands beside it until it is promoted.

A server that watches the folder loads the version with the largest number. So a challenger gets a number that is
smaller than that of the champion, and its manifest says what it is: all that looks for what is served passes it over.
It becomes the champion as a copy with a new, largest number; see `promotion`.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator

from components.push.destination import Destination
from components.push.served import Served, challengers, newest_first

FOLDER = "aliases"  # in the destination; servers ignore names that are not numbers
CONFIG_FILE = "models.config"  # the name in TensorFlow Serving's own examples


def update(place: Destination, without: Container[str] = ()) -> None:
    """Writes the aliases for TensorFlow Serving, once there has been a challenger; the destination is locked.

    Args:
        place: the destination.
        without: versions that are about to be removed, which the aliases must not name.

    Raises:
        OSError: the destination cannot be read or written.
    """
    there = (one for one in newest_first(place) if one.version not in without)
    champion = next(there, None)
    before = next((one for one in there if not one.problem), None)  # a server must not load a damaged one
    beside = next((one for one in challengers(place) if one.version not in without), None)
    if champion is None or champion.problem or (beside is None and not place.has(FOLDER, CONFIG_FILE)):
        return
    served = [champion] if before is None else [champion, before]
    place.write(f"{FOLDER}/{CONFIG_FILE}", server_config(place.root, served, beside).encode())


def server_config(root: str, served: list[Served], challenger: Served | None) -> str:
    """A `tensorflow.serving.ModelServerConfig` in the text format of protocol buffers.

    The version before the champion stays loaded, because a label moves only to a version that is loaded: until then,
    requests to the label are answered by the one before.

    Args:
        root: where the server finds the versions.
        served: the champion, and the version before it, if there is one.
        challenger: or None.
    """
    champion = served[0]
    labels = {"champion": champion} | ({"challenger": challenger} if challenger else {})
    loaded = {int(one.version): None for one in (*served, *labels.values())}
    lines = [
        "# Written by imagegate with each push, promotion and rollback.",
        "model_config_list {",
        "  config {",
        f"    name: {_quoted(champion.manifest.name)}",
        f"    base_path: {_quoted(root)}",
        '    model_platform: "tensorflow"',
        "    model_version_policy {",
        "      specific {",
        *(f"        versions: {number}" for number in loaded),
        "      }",
        "    }",
        *(line for label, one in labels.items() for line in _label(label, one)),
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _label(label: str, served: Served) -> Iterator[str]:
    yield from ("    version_labels {", f'      key: "{label}"', f"      value: {int(served.version)}", "    }")


def _quoted(text: str) -> str:
    r"""A string of the text format: bytes that are no plain ASCII, and quotes, as octal escapes.

    >>> print(_quoted('a "b" \\ é'))
    "a \042b\042 \134 \303\251"
    """
    plain = (chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in os.fsencode(text))
    return f'"{"".join(plain)}"'
