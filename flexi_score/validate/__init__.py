"""A run against human or simulated truth: detection, boundaries, events, outcomes, metrics."""

from flexi_score.validate.truth import Truth, read_truth
from flexi_score.validate.validation import Validation, validate

__all__ = ["Truth", "Validation", "read_truth", "validate"]
