"""The emulator: the video-generation API as a local server, for tests and for trying things."""

from seedance_async.emulator.faults import Fault, FaultPlan
from seedance_async.emulator.handlers import EmulatorStats
from seedance_async.emulator.publishing import EmulatorPublisher
from seedance_async.emulator.server import Emulator

__all__ = ["Emulator", "EmulatorPublisher", "EmulatorStats", "Fault", "FaultPlan"]

# Tracebacks, pickles and the reference then show the path to import.
for _public in (Emulator, EmulatorPublisher, EmulatorStats, Fault, FaultPlan):
    _public.__module__ = __name__
del _public
