"""Networks run by TensorRT or TensorRT-RTX on an NVIDIA GPU: named arrays in, named arrays out.

An engine fits one GPU architecture, one version of the backend and one range of shapes; all of it is in the cache's
key, so that an engine of another GPU or version is never loaded, but built anew. Buffers on the device, and pinned ones
on the host, are made once, for the largest batch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.engine.cache import CacheKey, EngineCache, NoSpaceError
from sensorfuse.engine.cuda_driver import CudaDriver
from sensorfuse.engine.engine import BUILDS, Precision, check_inputs, read_network, sha256, zero_inputs
from sensorfuse.engine.precision import existing_variant
from sensorfuse.engine.tensorrt_build import (
    BuildConfig,
    TensorRtBackend,
    build_engine,
    compute_capabilities,
    load_api,
    make_logger,
)
from sensorfuse.errors import SensorfuseError

WARM_RUNS = 2
"""The first compiles kernels for the GPU that is here, the second records the graph."""
log = logging.getLogger(__name__)


def open_tensorrt(path: Path, backend: TensorRtBackend, precision: Precision, cuda_graph: bool) -> TensorRtEngine:
    """The engine of a network for the GPU that is here: from this user's cache, or built now.

    Raises:
        SensorfuseError: the backend isn't installed, no GPU answers or it isn't supported, the precision has no variant
            in the cache, or the engine can't be built or loaded.
    """
    api, driver = load_api(backend), CudaDriver()
    return TensorRtEngine(path, precision, api, driver, EngineCache(), cuda_graph=cuda_graph)


def engine_key(
    onnx: Path, precision: Precision, api: Any, compute_capability: str, config: BuildConfig | None = None
) -> CacheKey:
    """The key of a network's engine.

    Raises:
        SensorfuseError: the file can't be read, or the precision has no variant in the cache.
    """
    digest = sha256(read_network(existing_variant(onnx, precision, symmetric=True)))
    profile = (config or BuildConfig()).text()
    return CacheKey(digest, precision, api.__name__, api.__version__, compute_capability, profile)


class TensorRtEngine:
    """One network on a GPU; implements `Engine`.

    Args:
        path: the fp32 ONNX file.
        precision: which variant of it to run; it has been made by `sensorfuse compile`.
        api: see `load_api`.
        driver: of the GPU to run on.
        cache: where engines are kept.
        config: what shapes the engine takes.
        cuda_graph: record the kernels of a batch size once and replay them: fewer launches.

    Raises:
        SensorfuseError: as `open_tensorrt`.
    """

    def __init__(
        self,
        path: Path,
        precision: Precision,
        api: Any,
        driver: CudaDriver,
        cache: EngineCache,
        config: BuildConfig | None = None,
        cuda_graph: bool = False,
    ) -> None:
        self.path, self.precision, self.cuda_graph = Path(path), precision, cuda_graph
        self._api, self._driver, self._cache, self._config = api, driver, cache, config or BuildConfig()
        capability = driver.compute_capability()
        ahead = compute_capabilities(api)
        if ahead and capability not in ahead:
            raise SensorfuseError(
                f"{api.__name__} {api.__version__} does not run on {driver.device_name()} (compute capability "
                f"{capability}); it supports {', '.join(ahead)}; use onnxruntime-cuda"
            )
        self._key = engine_key(self.path, precision, api, capability, self._config)
        self._ahead = capability if ahead else None
        self.digest = sha256(read_network(self.path))
        self._engine = self._load()
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise SensorfuseError(f"{self.path.name}: {api.__name__} makes no execution context: {self._why()}")
        self._bind()
        self.name = f"{api.__name__}-{api.__version__}-{driver.device_name().replace(' ', '_')}"
        self._graphs: dict[int, int] = {}
        self._runs: dict[int, int] = {}
        BUILDS[api.__name__] += 1

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name, the caller's to keep. Inputs have the batch axis and the network's own types.

        Raises:
            WrongInput: an input is missing, unknown, or has the wrong type or shape.
            SensorfuseError: the GPU or the backend failed.
        """
        check_inputs(self.path.name, inputs, self.input_shapes, self._types)
        batch = next(iter(inputs.values())).shape[0]
        most = min(shape[0] for shape in self._largest.values())
        if not 1 <= batch <= most:
            parts = [
                self.run({n: a[k : k + most] for n, a in inputs.items()}) for k in range(0, batch, most)
            ]  # more than the engine takes at a time
            return {n: np.concatenate([p[n] for p in parts]) for n in self.output_names}
        self._driver.make_current()
        for name, array in inputs.items():
            self._host[name][: array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        if batch in self._graphs:
            self._driver.replay(self._graphs[batch])
        else:
            self._set_shapes({n: a.shape for n, a in inputs.items()})
            sizes = {n: a.nbytes for n, a in inputs.items()}
            self._enqueue(sizes)
            if self.cuda_graph and self._runs.get(batch, 0) + 1 >= WARM_RUNS:
                self._driver.wait()
                self._graphs[batch] = self._driver.record(lambda: self._enqueue(sizes))
        self._runs[batch] = self._runs.get(batch, 0) + 1
        self._driver.wait()
        return {name: self._output(name, batch) for name in self.output_names}

    def warm_up(self) -> None:
        """Run on zeros with batch 1, so that the first real run is not the slow one."""
        for _ in range(WARM_RUNS):
            self.run(zero_inputs(self.input_shapes, self._types))

    def _load(self) -> Any:
        """The engine from the cache; built where the cache has none that can be loaded."""
        self._logger = make_logger(self._api)
        runtime = self._api.Runtime(self._logger)
        payload = self._cache.get(self._key)
        if payload is not None:
            engine = runtime.deserialize_cuda_engine(payload)
            if engine is not None:
                return engine
            log.warning("%s: the cached engine can't be loaded (%s); building it anew", self.path.name, self._why())
            self._cache.drop(self._key)
        file = existing_variant(self.path, self.precision, symmetric=True)
        built = build_engine(file, self._api, self._ahead, self._config)
        try:
            self._cache.put(
                self._key, built.payload, f"{self.path.stem} {self.precision}", build_s=round(built.seconds, 3)
            )
        except NoSpaceError as error:
            log.warning("%s: the engine runs from memory, and will be built again: %s", self.path.name, error)
        engine = runtime.deserialize_cuda_engine(built.payload)
        if engine is None:
            raise SensorfuseError(f"{self.path.name}: {self._key.backend} can't load what it built: {self._why()}")
        return engine

    def _why(self) -> str:
        return str(self._logger.last_error())

    def _bind(self) -> None:
        """Make buffers for the largest batch, and tell the context where they lie."""
        engine, api = self._engine, self._api
        self.input_shapes: dict[str, list[Any]] = {}
        self.output_names: list[str] = []
        self._types: dict[str, Any] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._largest: dict[str, tuple[int, ...]] = {}
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        for name in names:
            shape = tuple(int(d) for d in engine.get_tensor_shape(name))
            self._types[name] = np.dtype(api.nptype(engine.get_tensor_dtype(name)))
            self._shapes[name] = shape
            if engine.get_tensor_mode(name) == api.TensorIOMode.INPUT:
                self.input_shapes[name] = [d if d >= 0 else "batch" for d in shape]
                self._largest[name] = tuple(int(d) for d in engine.get_tensor_profile_shape(name, 0)[2])
            else:
                self.output_names.append(name)
        self._set_shapes(self._largest)
        self._host: dict[str, NDArray[np.uint8]] = {}
        self._device: dict[str, int] = {}
        for name in names:
            shape = self._largest.get(name) or tuple(int(d) for d in self._context.get_tensor_shape(name))
            size = max(int(np.prod(shape)) * self._types[name].itemsize, 1)
            self._host[name], self._device[name] = self._driver.pinned(size), self._driver.allocate(size)
            if not self._context.set_tensor_address(name, self._device[name]):
                raise SensorfuseError(
                    f"{self.path.name}: {self._key.backend} refuses the buffer of {name!r}: {self._why()}"
                )

    def _set_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise SensorfuseError(
                    f"{self.path.name}: the engine takes no input {name!r} of shape {tuple(shape)}: {self._why()}"
                )

    def _enqueue(self, sizes: Mapping[str, int]) -> None:
        """Put copies in, kernels, and copies out on the stream."""
        for name, size in sizes.items():
            self._driver.copy_in(self._device[name], self._host[name][:size])
        if not self._context.execute_async_v3(self._driver.stream):
            raise SensorfuseError(f"{self.path.name}: {self._key.backend} failed: {self._why()}")
        for name in self.output_names:
            size = int(np.prod(tuple(self._context.get_tensor_shape(name)))) * self._types[name].itemsize
            self._driver.copy_out(self._host[name][:size], self._device[name])

    def _output(self, name: str, batch: int) -> NDArray[Any]:
        shape = tuple(batch if d < 0 else d for d in self._shapes[name])
        size = int(np.prod(shape)) * self._types[name].itemsize
        return self._host[name][:size].view(self._types[name]).reshape(shape).copy()
