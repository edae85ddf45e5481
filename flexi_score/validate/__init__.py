"""A run against human or simulated truth: detection, boundaries, events, outcomes, metrics."""

from flexi_score.validate.truth import Truth, read_truth
from flexi_score.validate.validation import Validation, validate
from flexi_score.verbs import make_callable

__all__ = ["Truth", "Validation", "read_truth", "validate"]

make_callable(__name__, validate)
