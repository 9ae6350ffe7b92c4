"""The radar process: `python -m sensorfuse.nodes.radar --rig RIG`."""

from sensorfuse.nodes.sensor import sensor_main


def main(argv: list[str] | None = None) -> None:
    """Publish the rig's radar stream."""
    sensor_main("radar", argv)


if __name__ == "__main__":
    main()
