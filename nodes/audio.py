"""The audio process: `python -m sensorfuse.nodes.audio --rig RIG`."""

from sensorfuse.nodes.sensor import sensor_main


def main(argv: list[str] | None = None) -> None:
    """Publish the rig's audio stream."""
    sensor_main("audio", argv)


if __name__ == "__main__":
    main()
