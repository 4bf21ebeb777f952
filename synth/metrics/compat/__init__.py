"""Other tools' definitions of a metric, quirks included, so that their papers' numbers can be set beside ours.

Each is named METRIC@TOOL, is computed only where that name is asked for, has the original's scale and direction, and never
blocks: a policy may report it, no more. What the original gets wrong is kept and named in the docstring; the metric without
the suffix is ours.
"""

from synth.metrics.compat import detection, mostlyai, sdmetrics, synthcity, tabsyn

__all__ = ["detection", "mostlyai", "sdmetrics", "synthcity", "tabsyn"]
