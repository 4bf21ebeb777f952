"""Where the work runs: worker processes. They are handed to what can use them; nothing in the core imports this package."""

from synth.scale.processes import Processes, cores

__all__ = ["Processes", "cores"]
