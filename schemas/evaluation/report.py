"""Reports, as JSON callers read them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from schemas.evaluation.results import EvaluationResults
from schemas.evaluation.run import EvaluationAnswer


class EvaluationReport(BaseModel):
    """A run's report."""

    evaluation: EvaluationAnswer = Field(description="The run.")
    results: EvaluationResults = Field(description="All that its batches tell.")


class EvaluationComparison(BaseModel):
    """Two runs over the same samples."""

    first: EvaluationAnswer = Field(description="The baseline: the run that is compared with.")
    second: EvaluationAnswer = Field(description="The new one: the run that was asked for.")
    comparison: dict[str, Any] = Field(
        description="The new loss (`second`) less the baseline's (`first`), over the samples of both."
    )
