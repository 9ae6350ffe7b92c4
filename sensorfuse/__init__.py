"""sensorfuse: streaming multisensor fusion that keeps its cadence when a sensor drops out."""

__version__ = "0.1.0"
