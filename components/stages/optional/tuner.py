"""The stage Tuner: TFX's, with the trials as one more file of its results."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from keras_tuner.errors import FatalError
from tfx.components import Tuner as TfxTuner
from tfx.components.tuner import executor
from tfx.dsl.components.base import executor_spec
from tfx.types.artifact import Artifact

from components.base.artifact_files import TRIALS
from components.model.tuning.journal import Trials


class Executor(executor.Executor):
    """Searches, and writes the best values and all trials."""

    def Do(  # noqa: N802  TFX's name
        self,
        input_dict: Mapping[str, Sequence[Artifact]],
        output_dict: Mapping[str, Sequence[Artifact]],
        exec_properties: Mapping[str, Any],
    ) -> None:
        """Runs the stage.

        Args:
            input_dict: examples, schema and transform_graph.
            output_dict: best_hyperparameters, of which the Trainer takes the values, and tuner_results.
            exec_properties: with `tuner_fn` and `custom_config`.

        Raises:
            ImagegateError: no trial could be finished.
        """
        try:
            tuner = executor.search(input_dict, exec_properties, self._get_tmp_dir(), print_tuning_summary=False)
        except FatalError as error:
            raise (error.__cause__ or error) from None
        found: Trials = tuner.found()
        executor.write_best_hyperparameters(tuner, output_dict)
        [results] = output_dict["tuner_results"]
        with open(os.path.join(results.uri, TRIALS), "w", encoding="utf-8") as f:
            f.write(found.to_json(indent=1))


class Tuner(TfxTuner):
    """See `components.model.tuning`."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
