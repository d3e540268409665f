"""Nothing heavy is imported before a command needs it. Which package may import which: see pyproject.toml."""

import ast
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("components", "pipeline") for path in (ROOT / package).rglob("*.py"))


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def loads_tensorflow(path: Path) -> bool:
    """Whether importing this module loads TensorFlow or what builds on it: its top-level imports name one of them."""
    tree = ast.parse(path.read_text())
    names = {a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names}
    names |= {str(n.module) for n in tree.body if isinstance(n, ast.ImportFrom)}
    return any(name.split(".")[0].startswith(("tensorflow", "tfx", "apache_beam", "keras")) for name in names)


HEAVY = {module(p) for p in SOURCES if loads_tensorflow(p)}
LIGHT = [
    m for m in map(module, SOURCES) if not m.startswith("components.stages") and m not in HEAVY | {"pipeline.__main__"}
]

LOADED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def loaded(*modules: str) -> set[str]:
    """Top-level packages in a fresh interpreter after these imports."""
    command = [sys.executable, "-c", LOADED, *modules]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(process.stdout))


def test_light_modules_load_no_tensorflow() -> None:
    assert {
        "pipeline.cli",
        "pipeline.config",
        "pipeline.runs.local",
        "components.data.images",
        "components.ingest.shards",
    } <= set(LIGHT)
    assert loaded(*LIGHT).isdisjoint({"tensorflow", "tfx", "apache_beam", "keras", "tensorflow_transform"})


def test_only_the_modules_that_tensorflow_calls_load_it() -> None:
    """Transform, the Trainer and the Evaluator import these by name, and whoever builds a graph imports `graph`."""
    assert {m for m in HEAVY if ".stages." not in m} <= {
        "components.model.comparing.conduct",
        "components.model.fitting.accumulation",
        "components.model.fitting.unlabelled.autoencoder",
        "components.model.fitting.unlabelled.choice",
        "components.model.fitting.unlabelled.consistency",
        "components.model.fitting.unlabelled.pseudo",
        "components.model.fitting.unlabelled.strong",
        "components.model.fitting.answers",
        "components.model.fitting.averaging",
        "components.model.fitting.batches",
        "components.model.fitting.callbacks",
        "components.evaluation.analysis",
        "components.labels.learning.losses",
        "components.labels.learning.measures",
        "components.evaluation.tfma_standard",
        "components.evaluation.tfma_metrics",
        "components.model.features.backbone",
        "components.model.networks.bands.build",
        "components.model.networks.bands.masked",
        "components.model.networks.bands.parts",
        "components.model.networks.bands.pretrained",
        "components.model.networks.bands.temporal",
        "components.model.networks.network",
        "components.model.networks.own",
        "components.model.fitting.phases",
        "components.model.fitting.recipe",
        "components.model.preprocessing",
        "components.model.networks.pyramid",
        "components.model.signatures",
        "components.model.fitting.training",
        "components.model.synthesis.generate",
        "components.model.synthesis.vae",
        "components.model.tuning.trial",
        "components.model.tuning.tuner",
        "pipeline.graph",
        "pipeline.nodes",
        "pipeline.artifacts.filesystem",
        "pipeline.artifacts.operators",
    }


def test_the_command_line_loads_nothing_but_the_standard_library() -> None:
    ours = {"pipeline", "components"}
    site = loaded() | sys.stdlib_module_names | ours
    assert loaded("pipeline.cli") <= site
