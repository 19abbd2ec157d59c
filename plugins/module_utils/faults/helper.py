# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that gives a dose by being there: it burns CPU time, holds memory or reads a disk.

On a GPU it computes or holds memory, by the CUDA driver's own interface (libcuda, which is there
where the driver is) and a kernel in PTX, which the driver compiles for the GPU that it has.

It is run by its source (``python -c``), so that it needs no file of its own: standard library only,
and nothing of this package. It ends by itself: with its parent, or when its time is over.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_MIB = 1024 * 1024
_BLOCK = 64 * 1024

# CUDA driver API (cuda.h).
_LIBCUDA = "libcuda.so.1"
_WAIT_ASLEEP = 4  # CU_CTX_SCHED_BLOCKING_SYNC
_MULTIPROCESSORS = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
_OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY
# Fills a multiprocessor of every kind, and is there at once.
_BLOCKS, _THREADS = 4, 256
_PERIOD_S = 0.02
_GPU_BLOCK_MIB = 64
_RETRY_S = 0.01
# Multiplies and adds until so many nanoseconds are over. It ends after some million turns at most,
# should the timer stand still, and stores what it has computed, so that no compiler leaves it out.
_SPIN = (
    """
.version 6.0
.target sm_50
.address_size 64
.visible .entry spin(.param .u64 span, .param .u64 sink)
{
    .reg .pred %go, %late;
    .reg .f32 %value, %factor;
    .reg .u32 %turns;
    .reg .u64 %now, %end, %address;
    ld.param.u64 %end, [span];
    mov.u64 %now, %globaltimer;
    add.u64 %end, %now, %end;
    mov.f32 %value, 0f3F800000;
    mov.f32 %factor, 0f3F7FFFF0;
    mov.u32 %turns, 0;
AGAIN:
"""
    + "    fma.rn.f32 %value, %value, %factor, %factor;\n" * 32
    + """
    add.u32 %turns, %turns, 1;
    setp.ge.u32 %late, %turns, 4194304;
    @%late bra DONE;
    mov.u64 %now, %globaltimer;
    setp.lt.u64 %go, %now, %end;
    @%go bra AGAIN;
DONE:
    ld.param.u64 %address, [sink];
    cvta.to.global.u64 %address, %address;
    st.global.f32 [%address], %value;
    ret;
}
"""
)


def burn(end: float) -> None:
    """Use one core until ``end``."""
    while time.monotonic() < end:
        for _turn in range(10_000):
            pass


def hold(end: float, mebibytes: int) -> None:
    """Hold so much memory, each page written to, until ``end``."""
    held = []
    for _block in range(mebibytes):
        # Private: what is shared counts as page cache.
        block = mmap.mmap(-1, _MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for offset in range(0, _MIB, mmap.PAGESIZE):
            block[offset] = 1
        held.append(block)
    _say("held")
    time.sleep(max(0.0, end - time.monotonic()))


def read(path: str, size: int) -> None:
    """Read so many bytes of a file past the page cache, and say how many seconds it took."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, _BLOCK)  # aligned, as O_DIRECT asks for
    begin, left = time.monotonic(), size
    while left > 0:
        got = os.readv(handle, [buffer])
        if got < _BLOCK:
            os.lseek(handle, 0, os.SEEK_SET)
        left -= got
    _say(f"{time.monotonic() - begin:.6f}")


class Cuda:
    """The CUDA driver, with a context on one GPU of a UUID; every failure ends the program."""

    def __init__(self, uuid: str) -> None:
        try:
            self._driver = ctypes.CDLL(_LIBCUDA)
        except OSError as error:
            raise SystemExit(f"NVIDIA's driver is not installed: {error}") from error
        self.call("cuInit", ctypes.c_uint(0))
        self._device = self._find(uuid)
        # A context of its own, in which waiting for the GPU uses no CPU time.
        context = ctypes.c_void_p()
        flags = ctypes.c_uint(_WAIT_ASLEEP)
        self.call("cuCtxCreate_v2", ctypes.byref(context), flags, self._device)

    def call(self, name: str, *arguments: object) -> None:
        """Call a function that must succeed."""
        self._check(name, self._code(name, *arguments))

    def _code(self, name: str, *arguments: object) -> int:
        return int(getattr(self._driver, name)(*arguments))

    def _check(self, name: str, code: int) -> None:
        if code != 0:
            said = ctypes.c_char_p()
            self._code("cuGetErrorName", ctypes.c_int(code), ctypes.byref(said))
            raise SystemExit(f"{name} failed: {(said.value or b'an error').decode()} ({code})")

    def _find(self, uuid: str) -> ctypes.c_int:
        wanted = bytes.fromhex(uuid.removeprefix("GPU-").replace("-", ""))
        count, device = ctypes.c_int(), ctypes.c_int()
        self.call("cuDeviceGetCount", ctypes.byref(count))
        for number in range(count.value):
            found = (ctypes.c_ubyte * 16)()
            self.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(number))
            self.call("cuDeviceGetUuid", ctypes.byref(found), device)
            if bytes(found) == wanted:
                return device
        raise SystemExit(f"the driver has no GPU {uuid} among its {count.value}")

    def allocate(self, size: int) -> ctypes.c_uint64 | None:
        """Return so many bytes of the GPU's memory; None where it has not so many free."""
        address = ctypes.c_uint64()
        code = self._code("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        if code == _OUT_OF_MEMORY:
            return None
        self._check("cuMemAlloc_v2", code)
        return address

    def spinner(self, span_s: float) -> Callable[[], None]:
        """Return what runs the kernel on the whole GPU, and waits for it."""
        module, kernel, blocks = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int()
        self.call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(_SPIN.encode()))
        self.call("cuModuleGetFunction", ctypes.byref(kernel), module, ctypes.c_char_p(b"spin"))
        self.call(
            "cuDeviceGetAttribute",
            ctypes.byref(blocks),
            ctypes.c_int(_MULTIPROCESSORS),
            self._device,
        )
        span, sink = ctypes.c_uint64(round(span_s * 1e9)), self.allocate(4)
        if sink is None:
            raise SystemExit("the GPU has no memory free")
        # The driver reads them at each launch, by their addresses.
        self._parameters = (span, sink)
        values = (ctypes.c_void_p * 2)(*map(ctypes.addressof, self._parameters))
        grid = (ctypes.c_uint(_BLOCKS * blocks.value), ctypes.c_uint(1), ctypes.c_uint(1))
        block = (ctypes.c_uint(_THREADS), ctypes.c_uint(1), ctypes.c_uint(1))

        def run() -> None:
            # No shared memory of its own, and the stream that is there by itself.
            self.call("cuLaunchKernel", kernel, *grid, *block, ctypes.c_uint(0), None, values, None)
            self.call("cuCtxSynchronize")

        return run


def spin(end: float, uuid: str, busy_ratio: float) -> None:
    """Compute on a GPU for a share of each period, until ``end``."""
    run = Cuda(uuid).spinner(busy_ratio * _PERIOD_S)
    begun = False
    while (begin := time.monotonic()) < end:
        run()
        if not begun:
            begun = True
            _say("spun")
        time.sleep(max(0.0, min(begin + _PERIOD_S, end) - time.monotonic()))


def fill(end: float, uuid: str, mebibytes: int) -> None:
    """Hold so much of a GPU's memory until ``end``, and take it as it becomes free."""
    gpu, held = Cuda(uuid), 0
    while held < mebibytes and time.monotonic() < end:
        size = min(_GPU_BLOCK_MIB, mebibytes - held)
        if gpu.allocate(size * _MIB) is None:
            time.sleep(_RETRY_S)
        else:
            held += size
    if held >= mebibytes:
        _say("held")
    time.sleep(max(0.0, end - time.monotonic()))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _tie_to(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the parent is gone")


def main() -> None:
    """Join the cgroups, say so, and do the work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--cgroup", action="append", default=[])
    parser.add_argument("--oom-score", type=int, default=0)
    parser.add_argument("work", choices=("burn", "hold", "read", "spin", "fill"))
    parser.add_argument("--mebibytes", type=int, default=0)
    parser.add_argument("--path", default="")
    parser.add_argument("--bytes", type=int, default=0)
    parser.add_argument("--gpu", default="", metavar="UUID")
    parser.add_argument("--busy-ratio", type=float, default=1.0)
    options = parser.parse_args()
    _tie_to(options.parent)
    if options.oom_score:
        Path("/proc/self/oom_score_adj").write_text(str(options.oom_score), encoding="ascii")
    for cgroup in options.cgroup:
        Path(cgroup, "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    _say("ready")
    end = time.monotonic() + options.seconds
    # A read or an allocation may block: the time to live must not wait for it.
    timer = threading.Timer(options.seconds + 1, os._exit, (1,))
    timer.daemon = True
    timer.start()
    if options.work == "burn":
        burn(end)
    elif options.work == "hold":
        hold(end, options.mebibytes)
    elif options.work == "spin":
        spin(end, options.gpu, options.busy_ratio)
    elif options.work == "fill":
        fill(end, options.gpu, options.mebibytes)
    else:
        read(options.path, options.bytes)


if __name__ == "__main__":
    main()
