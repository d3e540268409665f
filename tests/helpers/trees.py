"""Small data sets on disk for the tests of the layouts, and the configurations that the documentation shows."""

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

SPLIT = {"train": 0.8, "eval": 0.1, "test": 0.1}


def tree(root: Path, files: Mapping[str, str | bytes | list[Any] | dict[str, Any]]) -> str:
    """Writes files below `root`: text, bytes, or objects as JSON."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, (str, bytes)) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(root)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The image as a file of this kind."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def grey(ids: Any, dtype: Any = np.uint8) -> Image.Image:
    """An image of mode L (or I;16 for uint16) of these ids."""
    return Image.fromarray(np.array(ids, dtype))


def documented(layout: str, name: str | None = None) -> dict[str, Any]:
    """The configuration in docs/layouts.md with this layout and, where there are several, this name."""
    text = (Path(__file__).parents[2] / "docs" / "layouts.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    (config,) = [
        block for block in blocks if block.get("data", {}).get("layout") == layout and name in (None, block["name"])
    ]
    return config
