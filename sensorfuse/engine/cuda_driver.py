"""The few calls of NVIDIA's driver that running an engine needs, by ctypes: memory, copies, a stream, a recorded graph.

The driver is there wherever a GPU is; so no package has to be installed for it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError

COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76
OUT_OF_MEMORY = 2
RELAXED_CAPTURE = 2


class CudaDriver:
    """One GPU's primary context, current in the calling thread, and one stream.

    Args:
        device: which GPU.
        library: the driver's library; by default the system's.

    Raises:
        SensorfuseError: there is no driver, or no such GPU answers.
    """

    def __init__(self, device: int = 0, library: Any = None) -> None:
        try:
            self._library = ctypes.CDLL("libcuda.so.1") if library is None else library
        except OSError:
            raise SensorfuseError(
                "no NVIDIA driver (libcuda.so.1) is here: TensorRT engines run on NVIDIA GPUs only"
            ) from None
        count, self._device, self._context, self._stream = c_int(0), c_int(0), c_void_p(), c_void_p()
        if self._library.cuInit(0) or self._library.cuDeviceGetCount(byref(count)) or count.value <= device:
            raise SensorfuseError(f"no NVIDIA GPU {device} answers; {count.value} are there")
        self._call("cuDeviceGet", byref(self._device), c_int(device))
        self._call("cuDevicePrimaryCtxRetain", byref(self._context), self._device)
        self.make_current()
        self._call("cuStreamCreate", byref(self._stream), c_uint(1))  # it does not wait for the default stream

    @property
    def stream(self) -> int:
        """Handle of the stream."""
        return int(self._stream.value or 0)

    def make_current(self) -> None:
        """Make the context the calling thread's: runs may come from any thread."""
        self._call("cuCtxSetCurrent", self._context)

    def compute_capability(self) -> str:
        """Such as "8.9"."""
        parts = []
        for attribute in (COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR):
            value = c_int(0)
            self._call("cuDeviceGetAttribute", byref(value), c_int(attribute), self._device)
            parts.append(str(value.value))
        return ".".join(parts)

    def device_name(self) -> str:
        """The GPU's name."""
        text = ctypes.create_string_buffer(128)
        self._call("cuDeviceGetName", text, c_int(128), self._device)
        return text.value.decode(errors="replace")

    def allocate(self, size: int) -> int:
        """Device memory: its address."""
        pointer = c_uint64(0)
        self._call("cuMemAlloc_v2", byref(pointer), c_size_t(size))
        return pointer.value

    def free(self, pointer: int) -> None:
        """Give device memory back."""
        self._call("cuMemFree_v2", c_uint64(pointer))

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """Host memory that the GPU copies from and to without a detour, zeroed. It is never given back: engines keep
        theirs as long as the process lives.
        """
        pointer = c_void_p()
        self._call("cuMemAllocHost_v2", byref(pointer), c_size_t(size))
        held = (ctypes.c_uint8 * size).from_address(int(pointer.value or 0))
        array: NDArray[np.uint8] = np.ctypeslib.as_array(held)
        array[:] = 0
        return array

    def copy_in(self, pointer: int, source: NDArray[np.uint8]) -> None:
        """Begin a copy from pinned memory to the device."""
        self._call(
            "cuMemcpyHtoDAsync_v2",
            c_uint64(pointer),
            c_void_p(source.ctypes.data),
            c_size_t(source.nbytes),
            self._stream,
        )

    def copy_out(self, target: NDArray[np.uint8], pointer: int) -> None:
        """Begin a copy from the device to pinned memory."""
        self._call(
            "cuMemcpyDtoHAsync_v2",
            c_void_p(target.ctypes.data),
            c_uint64(pointer),
            c_size_t(target.nbytes),
            self._stream,
        )

    def wait(self) -> None:
        """Until all that was begun is done."""
        self._call("cuStreamSynchronize", self._stream)

    def record(self, work: Callable[[], None]) -> int:
        """Record what `work` puts on the stream, without doing it: a graph to `replay`."""
        graph, ready = c_void_p(), c_void_p()
        self._call("cuStreamBeginCapture_v2", self._stream, c_int(RELAXED_CAPTURE))
        try:
            work()
        finally:
            self._call("cuStreamEndCapture", self._stream, byref(graph))
        self._call("cuGraphInstantiateWithFlags", byref(ready), graph, ctypes.c_ulonglong(0))
        self._call("cuGraphDestroy", graph)
        return int(ready.value or 0)

    def replay(self, graph: int) -> None:
        """Begin a recorded graph."""
        self._call("cuGraphLaunch", c_void_p(graph), self._stream)

    def _call(self, name: str, *arguments: Any) -> None:
        code = int(getattr(self._library, name)(*arguments))
        if code == 0:
            return
        if code == OUT_OF_MEMORY:
            raise SensorfuseError(f"the GPU's memory is full ({name}); stop what else uses it, or run on the CPU")
        text = c_char_p()
        self._library.cuGetErrorString(c_int(code), byref(text))
        said = (text.value or b"unknown error").decode(errors="replace")
        raise SensorfuseError(f"NVIDIA's driver refused {name}: {said} (code {code})")
