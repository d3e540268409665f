"""What the tests of Kubeflow share: a server, a small compiled pipeline, and the command on both."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import Api

from pipeline import cli, submit

Call = Callable[..., tuple[int, str, str]]
# As kfp's compiler names tasks -> as stages are called.
STAGES = {"ingest": "ImageExampleGen", "judge": "ClassBalance", "train": "Trainer", "gate": "ModelGate"}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's environment or home folder; and Google's ways in, which must not be taken."""
    for name in ("KF_PIPELINES_ENDPOINT", "KFP_NAMESPACE", "KFP_EXISTING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KF_PIPELINES_IAP_OAUTH2_CLIENT_ID", "kfp would ask Google for a token")


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> submit.Package:
    """Four stages in a row, with one parameter of each type, compiled by kfp and called as ours are."""
    from kfp import compiler, dsl

    def stage(name: str) -> Any:
        def make():  # type: ignore[no-untyped-def]
            return dsl.ContainerSpec(image="busybox", command=["true"])

        make.__name__ = name
        return dsl.container_component(make)

    @dsl.pipeline(name="birds")
    def birds(
        data_root: str = "s3://bucket/birds",
        epochs: int = 3,
        rate: float = 0.5,
        augment: bool = True,
        names: list = [],  # noqa: B006  kfp reads it, nobody changes it
        weights: dict = {},  # noqa: B006
    ) -> None:
        before: list[Any] = []
        for name in STAGES:
            before = [stage(name)().after(*before)]

    path = tmp_path_factory.mktemp("compiled") / "birds.yaml"
    compiler.Compiler().compile(birds, str(path))
    spec = yaml.safe_load(path.read_text())
    tasks = spec["root"]["dag"]["tasks"]
    for task in tasks.values():
        if "dependentTasks" in task:
            task["dependentTasks"] = [STAGES[name] for name in task["dependentTasks"]]
    spec["root"]["dag"]["tasks"] = {STAGES[name]: task for name, task in tasks.items()}
    return submit.Package("birds", spec, {}, "minio://bucket/root")


@pytest.fixture
def call(
    tmp_path: Path, package: submit.Package, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """`call("submit", …)`: the command on a configuration whose compiled pipeline is `package`."""
    path = tmp_path / "imagegate.yaml"
    path.write_text("name: birds\ntask: single_label\ndata: {root: data}\npush: {destination: models}\n")
    monkeypatch.setattr(cli, "_package", lambda _: package)

    def run(command: str, *arguments: str) -> tuple[int, str, str]:
        code = cli.main([command, str(path), *arguments])
        return (code, *capsys.readouterr())

    return run
