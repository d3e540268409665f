"""The command `verify`."""

from __future__ import annotations

import argparse
import json


def verify(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from pipeline.promotion import verify

    found = verify.run(options.model, options.key, options.key_env)
    if options.json:
        print(json.dumps(found.plain(), indent=1))
    else:
        for line in found.lines():
            print(shown(line))
        print("provenance:", json.dumps(found.provenance, indent=1) if found.provenance else "none is stored")
    return 0
