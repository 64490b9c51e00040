"""What every process of tests/faults needs, imported, and jit functions, loaded: in the process that they are forked from."""

from pagetrail.replay.run.warm import compile_jit_functions
from tests import compiled
from tests.faults import driver as driver
from tests.faults.kafka import worker as worker

compile_jit_functions()
compiled.producers()
