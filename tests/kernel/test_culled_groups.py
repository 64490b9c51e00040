"""page_owner_sort makes the same groups of a replayed recording as of the kernel's own dump of that instant."""


import pytest

pytestmark = pytest.mark.kernel

SNAPSHOT = "2-workload"
