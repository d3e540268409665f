"""The command `watch`."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.predict.watch import Watched


def watch(options: argparse.Namespace) -> int:
    from components.base.text import shown
    from components.gates.judge import failed
    from components.push.signing import trust
    from pipeline.predict import predict, unlabelled, watch
    from pipeline.terminal import Terminal, output_to

    served = predict.find(options.model, trust.of_options(options.key, options.key_env))
    out = Terminal()
    with Terminal(stderr=True), output_to(os.devnull):  # decoders print warnings; real problems are listed
        found = watch.run(served, options.folder)
    if options.json:
        out.line(json.dumps(_plain(found), ensure_ascii=True, allow_nan=False))
    else:
        for line in unlabelled.unusable_lines(found.unusable):
            out.line(shown(line))
        for verdict in found.verdicts:
            out.line(shown(verdict.reason))
        images = len(found.familiarity)
        out.line(f"the model abstains on {found.abstained:,} of {images:,} images ({found.abstained / images:.1%})")
        those = f"those that version {found.version} learnt from"
        if failed(found.verdicts):
            out.line(shown(f"the images are unlike {those}"))
        elif found.enough:
            out.line(shown(f"nothing shows that the images are unlike {those}"))
        else:
            out.line(shown(f"{images:,} images are too few to tell whether they are like {those}"))
    return 3 if failed(found.verdicts) else 0


def _plain(found: Watched) -> dict[str, object]:
    return {
        "version": found.version,
        "passed": all(verdict.passed for verdict in found.verdicts),
        "images": len(found.familiarity),
        "enough": found.enough,
        "abstained": found.abstained,
        "unusable": [{"path": path, "reason": reason} for path, reason in sorted(found.unusable)],
        "verdicts": [verdict.model_dump(mode="json") for verdict in found.verdicts],
    }
