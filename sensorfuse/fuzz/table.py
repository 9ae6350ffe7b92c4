"""The table of targets."""

from __future__ import annotations

from sensorfuse.errors import SensorfuseError
from sensorfuse.fuzz import config_targets, log_targets, wire_targets
from sensorfuse.fuzz.target import Target

TARGETS: dict[str, Target] = {t.name: t for t in (*wire_targets.TARGETS, *log_targets.TARGETS, *config_targets.TARGETS)}


def find_target(name: str) -> Target:
    """A target by its name.

    Raises:
        SensorfuseError: there is none.
    """
    if name not in TARGETS:
        raise SensorfuseError(f"no fuzz target is called {name!r}; there are {', '.join(TARGETS)}")
    return TARGETS[name]
