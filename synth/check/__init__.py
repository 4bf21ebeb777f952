"""What every generator and every metric promises, checked. Run it on your own, as scikit-learn's `check_estimator` is run.

from synth.check import check_generator, check_metric
check_generator(MyGenerator())
check_metric("fidelity.mine")
"""

from synth.check.conformance import CheckFailed, Conformance
from synth.check.generators import CHECKS, check_generator
from synth.check.metrics import METRIC_CHECKS, check_metric

__all__ = ["CHECKS", "METRIC_CHECKS", "CheckFailed", "Conformance", "check_generator", "check_metric"]
