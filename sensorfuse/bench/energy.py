"""Energy counters of the platform: processors through Linux's powercap, NVIDIA GPUs through their driver."""

from __future__ import annotations

import ctypes
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Joules spent by the whole machine's counted parts since some moment; `missing` says why there is no count."""

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self._packages: list[tuple[Path, int]] = []
        for zone in sorted(powercap.glob("*-rapl:*")):
            if zone.name.count(":") == 1:  # a package; its parts have two
                try:
                    int((zone / "energy_uj").read_text())
                    self._packages.append((zone / "energy_uj", int((zone / "max_energy_range_uj").read_text())))
                except (OSError, ValueError):
                    continue
        self._last = [0] * len(self._packages)
        self._turns = [0] * len(self._packages)
        self._gpus = _Gpus()
        self.missing = (
            "" if self._packages or self._gpus.count else "no energy counter can be read here (powercap, NVIDIA driver)"
        )

    def joules(self) -> float | None:
        """The count; only differences mean anything. None where nothing counts."""
        if self.missing:
            return None
        total_uj = 0
        for k, (path, turn) in enumerate(self._packages):
            now = int(path.read_text())
            self._turns[k] += turn if now < self._last[k] else 0
            self._last[k] = now
            total_uj += now + self._turns[k]
        return total_uj / 1e6 + self._gpus.joules()


class _Gpus:
    """Total energy of every NVIDIA GPU, by the driver's management library."""

    def __init__(self) -> None:
        self.count = 0
        self._handles: list[ctypes.c_void_p] = []
        try:
            self._library = ctypes.CDLL("libnvidia-ml.so.1")
            count = ctypes.c_uint(0)
            if self._library.nvmlInit_v2() or self._library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
                return
        except (OSError, AttributeError):
            return
        for k in range(count.value):
            handle = ctypes.c_void_p()
            if self._library.nvmlDeviceGetHandleByIndex_v2(k, ctypes.byref(handle)) == 0:
                self._handles.append(handle)
        self._handles = [h for h in self._handles if self._millijoules(h) is not None]
        self.count = len(self._handles)

    def _millijoules(self, handle: ctypes.c_void_p) -> int | None:
        out = ctypes.c_ulonglong(0)
        failed = self._library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(out))
        return None if failed else out.value

    def joules(self) -> float:
        return sum(self._millijoules(h) or 0 for h in self._handles) / 1e3
