"""A GPU and a TensorRT that are not there: the driver's calls on host memory, and engines that are a line of JSON.

The fake engine computes `double = 2 * x` and `mean = x.mean(axis=1)` where the fake device memory says `x` is.
"""

from __future__ import annotations

import ctypes
import json
from types import SimpleNamespace
from typing import Any

import numpy as np

WIDTH, MOST = 6, 4


class FakeDriverLibrary:
    """`libcuda` with one GPU. `failing` names a call that returns an error code."""

    def __init__(self, capability: tuple[int, int] = (8, 9), count: int = 1) -> None:
        self.capability, self.count = capability, count
        self.held: dict[int, Any] = {}
        self.calls: list[str] = []
        self.failing: dict[str, int] = {}
        self.recording: list[tuple[Any, ...]] | None = None
        self.graphs: list[list[tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name in self.failing:
                return self.failing[name]
            return int(getattr(type(self), f"_{name}", lambda *_: 0)(self, *arguments) or 0)

        return call

    def do(self, work: Any, *arguments: Any) -> None:
        """Do it now, or take it down while the stream records."""
        if self.recording is not None:
            self.recording.append((work, *arguments))
        else:
            work(*arguments)

    def _cuDeviceGetCount(self, count: Any) -> None:
        count._obj.value = self.count

    def _cuDeviceGetAttribute(self, value: Any, attribute: Any, _: Any) -> None:
        value._obj.value = self.capability[attribute.value - 75]

    def _cuDeviceGetName(self, text: Any, *_: Any) -> None:
        text.value = b"Fake GPU"

    def _cuStreamCreate(self, stream: Any, _: Any) -> None:
        stream._obj.value = 7

    def _cuGetErrorString(self, code: Any, text: Any) -> None:
        text._obj.value = f"error {code.value}".encode()

    def _allocate(self, pointer: Any, size: Any) -> None:
        block = ctypes.create_string_buffer(size.value)
        self.held[ctypes.addressof(block)] = block
        pointer._obj.value = ctypes.addressof(block)

    _cuMemAlloc_v2 = _cuMemAllocHost_v2 = _allocate

    def _cuMemFree_v2(self, pointer: Any) -> None:
        del self.held[pointer.value]

    def _copy(self, target: Any, source: Any, size: Any, stream: Any) -> None:
        assert stream.value == 7
        self.do(ctypes.memmove, target.value, source.value, size.value)

    _cuMemcpyHtoDAsync_v2 = _cuMemcpyDtoHAsync_v2 = _copy

    def _cuStreamBeginCapture_v2(self, *_: Any) -> None:
        self.recording = []

    def _cuStreamEndCapture(self, _: Any, graph: Any) -> None:
        assert self.recording is not None
        self.graphs.append(self.recording)
        self.recording, graph._obj.value = None, len(self.graphs)

    def _cuGraphInstantiateWithFlags(self, ready: Any, graph: Any, _: Any) -> None:
        ready._obj.value = graph.value

    def _cuGraphLaunch(self, graph: Any, _: Any) -> None:
        for work, *arguments in self.graphs[graph.value - 1]:
            work(*arguments)


class FakeLogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO = range(4)


class FakeContext:
    def __init__(self, api: FakeTensorRt) -> None:
        self.api, self.shape, self.address = api, (0, 0), dict[str, int]()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = tuple(shape)
        return shape[0] <= MOST

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape if name in ("x", "double") else self.shape[:1]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.address[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        if self.api.fails:
            return False
        batch = self.shape[0]
        self.api.launched.append(batch)
        self.api.library.do(self._compute, batch)
        return True

    def _compute(self, batch: int) -> None:
        def at(name: str, size: int) -> Any:
            return np.frombuffer((ctypes.c_float * size).from_address(self.address[name]), np.float32)

        x = at("x", batch * WIDTH).reshape(batch, WIDTH)
        at("double", batch * WIDTH)[:] = (2 * x).ravel()
        at("mean", batch)[:] = x.mean(axis=1)


class FakeTensorRt:
    """What of `tensorrt_rtx` a run uses. An engine is JSON of the version and compute capability it was built for."""

    __name__ = "tensorrt_rtx"
    ILogger, float32 = FakeLogger, "FLOAT"
    TensorIOMode = SimpleNamespace(INPUT=0, OUTPUT=1)
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=0)

    def __init__(self, library: FakeDriverLibrary, version: str = "1.7.1") -> None:
        self.library, self.__version__ = library, version
        self.ComputeCapability = SimpleNamespace(__members__={"NONE": 0, "SM75": 1, "SM89": 2, "SM120": 3})
        self.launched: list[int] = []
        self.built: list[Any] = []
        self.fails = False

    def nptype(self, _: str) -> type:
        return np.float32

    def Runtime(self, logger: Any) -> Any:
        return SimpleNamespace(deserialize_cuda_engine=lambda payload: self._load(payload, logger))

    def _load(self, payload: bytes, logger: Any) -> Any:
        own = {"version": self.__version__, "capability": self.library.capability[0] * 10 + self.library.capability[1]}
        try:
            fits = json.loads(payload) == own
        except ValueError:
            fits = False
        if not fits:
            logger.log(FakeLogger.ERROR, "engine plan file is not compatible with this version")
            return None
        names = ["x", "double", "mean"]
        shapes = {"x": (-1, WIDTH), "double": (-1, WIDTH), "mean": (-1,)}
        return SimpleNamespace(
            num_io_tensors=3,
            get_tensor_name=lambda i: names[i],
            get_tensor_shape=lambda n: shapes[n],
            get_tensor_dtype=lambda n: "FLOAT",
            get_tensor_mode=lambda n: int(n != "x"),
            get_tensor_profile_shape=lambda n, _: ((1, WIDTH), (1, WIDTH), (MOST, WIDTH)),
            create_execution_context=lambda: FakeContext(self),
        )

    # ---- building

    def Builder(self, logger: Any) -> Any:
        def serialize(network: Any, settings: Any) -> bytes | None:
            self.built.append(settings)
            number = [0, 75, 89, 120][settings.capability]
            return json.dumps({"version": self.__version__, "capability": number}).encode()

        def settings() -> Any:
            made = SimpleNamespace(capability=0, profiles=[])
            made.set_compute_capability = lambda c, _: setattr(made, "capability", c)
            made.add_optimization_profile = made.profiles.append
            return made

        def profile() -> Any:
            made = SimpleNamespace(shapes={})
            made.set_shape = lambda n, *shapes: made.shapes.update({n: shapes})
            return made

        tensor = SimpleNamespace(name="x", shape=(-1, WIDTH), get_dimension_name=lambda _: "batch")
        return SimpleNamespace(
            create_network=lambda _: SimpleNamespace(num_inputs=1, get_input=lambda _: tensor),
            create_builder_config=settings,
            create_optimization_profile=profile,
            build_serialized_network=serialize,
        )

    def OnnxParser(self, network: Any, logger: Any) -> Any:
        return SimpleNamespace(parse=lambda content: True)
