"""The section `sinks`."""

from __future__ import annotations

from pydantic import Field, field_validator

from components.base.values import Value, variable_name


class MLflow(Value):
    """A tracking server and model registry of [MLflow](sinks.md)."""

    url_env: str = Field(
        "MLFLOW_TRACKING_URI",
        description="Name of the environment variable that holds the tracking URI, such as `sqlite:////srv/mlflow.db` "
        "or `https://mlflow.example`.",
    )
    experiment: str | None = Field(None, min_length=1, description="Name of the experiment. Default: the `name` above.")
    model: str | None = Field(
        None, min_length=1, description="Name of the registered model. Default: the `name` above."
    )

    _is_name = field_validator("url_env", mode="before")(variable_name)


class ModelRegistry(Value):
    """Kubeflow's [Model Registry](sinks.md#kubeflows-model-registry)."""

    url_env: str = Field(
        "MODEL_REGISTRY_URL",
        description="Name of the environment variable that holds the address of the registry, such as "
        "`http://model-registry-service.kubeflow:8080`.",
    )
    token_env: str | None = Field(
        None, description="Name of the environment variable that holds the bearer token. Default: none is sent."
    )
    model: str | None = Field(
        None, min_length=1, description="Name of the registered model. Default: the `name` above."
    )

    _is_name = field_validator("url_env", "token_env", mode="before")(variable_name)


class Sinks(Value):
    """Systems that get a record of every run after its end, see [sinks](sinks.md). None of them changes its outcome."""

    mlflow: MLflow | None = Field(None, description="See [`sinks.mlflow`](#sinksmlflow). With `null`, nothing is sent.")
    model_registry: ModelRegistry | None = Field(
        None, description="See [`sinks.model_registry`](#sinksmodel_registry). With `null`, nothing is sent."
    )

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the environment variables that hold addresses and tokens."""
        registry = self.model_registry
        names = (
            self.mlflow and self.mlflow.url_env,
            registry and registry.url_env,
            registry and registry.token_env,
        )
        return tuple(name for name in names if name)

    @property
    def any(self) -> bool:
        """Whether there is a system that gets a record."""
        return self.mlflow is not None or self.model_registry is not None
