"""SageMaker's CreateHyperParameterTuningJob requests, read as study files.

:mod:`~hpo_pipe.service_model` holds a request against the service's own model,
:mod:`~hpo_pipe.tuning_job.request` keeps account of what was carried over, and
:mod:`~hpo_pipe.tuning_job.written` writes the study file.
"""

from __future__ import annotations

from hpo_pipe.tuning_job.load import load_request
from hpo_pipe.tuning_job.study import Imported, import_tuning_job

__all__ = ["Imported", "import_tuning_job", "load_request"]
