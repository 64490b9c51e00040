"""What the kernel and perf put into a perf.data: records, the fields of samples, the sections of its header.

Source: include/uapi/linux/perf_event.h, tools/perf/util/header.h, tools/lib/perf/include/perf/event.h (Linux 6.1).
"""

from typing import Final

# Records of the kernel.
MMAP: Final = 1
LOST: Final = 2
COMM: Final = 3
THROTTLE: Final = 5
FORK: Final = 7
SAMPLE: Final = 9
MMAP2: Final = 10
LOST_SAMPLES: Final = 13
# Records of perf.
KERNEL_STOP: Final = 32
"""The kernel has 22 types (Linux 6.12); these have room for more."""
USER_FIRST: Final = 64
USER_STOP: Final = 96
BUILD_ID: Final = 67
HEADER_ATTR: Final = 64
TRACING_DATA: Final = 66
FINISHED_ROUND: Final = 68
AUXTRACE: Final = 71
HEADER_FEATURE: Final = 80
COMPRESSED: Final = 81
COMPRESSED2: Final = 83

BEFORE_SAMPLES: Final = (HEADER_ATTR, 65, TRACING_DATA, 67, 69, 70, 73, 74, 78, 79, HEADER_FEATURE)
"""Records that a pipe begins with: attributes, formats, features, ids, build ids, maps of threads and CPUs."""

MOST_COUNTED: Final = 1 << 48
"""No record counts as many events or bytes."""

RECORD_HEAD: Final = 8
"""Bytes: type, misc, size."""

# Fields of a sample, in this order: their bits in sample_type, and their bytes where all have the same.
IDENTIFIER: Final = 1 << 16
IP: Final = 1 << 0
TID: Final = 1 << 1
TIME: Final = 1 << 2
ADDR: Final = 1 << 3
READ: Final = 1 << 4
CALLCHAIN: Final = 1 << 5
ID: Final = 1 << 6
CPU: Final = 1 << 7
PERIOD: Final = 1 << 8
STREAM_ID: Final = 1 << 9
RAW: Final = 1 << 10
FIXED: Final = (IDENTIFIER, IP, TID, TIME, ADDR, ID, STREAM_ID, CPU, PERIOD)
"""Eight bytes each."""
UP_TO_RAW: Final = sum(FIXED) | READ | CALLCHAIN | RAW
TRAILER: Final = (TID, TIME, ID, STREAM_ID, CPU, IDENTIFIER)
"""What stands at the end of the kernel's other records (struct sample_id), eight bytes each."""

# Bits of read_format.
TOTAL_TIME_ENABLED: Final = 1 << 0
TOTAL_TIME_RUNNING: Final = 1 << 1
FORMAT_ID: Final = 1 << 2
FORMAT_GROUP: Final = 1 << 3
FORMAT_LOST: Final = 1 << 4
READ_FORMATS: Final = (1 << 32) - 1

# Markers in a call chain, as signed numbers: what follows is of the kernel, of a guest's kernel, of the process.
CONTEXT_MAX: Final = -4095
CONTEXT_KERNEL: Final = -128

TYPE_TRACEPOINT: Final = 2

# struct perf_event_attr: where its fields begin that do not follow another one that is read, and the bits of its flags.
ATTR_LEAST: Final = 64
ATTR_SIZE: Final = 4
ATTR_PERIOD: Final = 16
ATTR_SAMPLE_TYPE: Final = 24
ATTR_CLOCKID: Final = 92
LEAVES_OUT: Final = sum(1 << bit for bit in (2, 3, 4, 5, 6, 7, 10, 12, 19, 27, 36, 37))
"""pinned, exclusive, exclude_user, exclude_kernel, exclude_hv, exclude_idle, freq, enable_on_exec, exclude_host, write_backward,
remove_on_exec, sigtrap: with one of these, an event may not be on, or not of all that happens. (exclude_guest, which perf sets,
concerns counters of the processor: kernel/events/core.c, perf_tp_event_match, Linux 6.1.)"""
SAMPLE_ID_ALL: Final = 1 << 18
USE_CLOCKID: Final = 1 << 25

CLOCKS: Final = {0: "real", 1: "mono", 4: "mono_raw", 7: "boot", 11: "tai"}
"""Clocks of ``perf record -k`` by their numbers (include/uapi/linux/time.h), as the kernel names trace clocks."""

# Sections of a file's header, by bit.
FEATURES: Final = 256
FEAT_TRACING_DATA: Final = 1
FEAT_BUILD_ID: Final = 2
FEAT_HOSTNAME: Final = 3
FEAT_OSRELEASE: Final = 4
FEAT_NRCPUS: Final = 7
FEAT_CMDLINE: Final = 11

# An entry of the build ids: head, pid, build id (20 bytes, and its size behind it where misc says so), name.
BUILD_ID_NAME: Final = 36
MISC_BUILD_ID_SIZE: Final = 1 << 15
