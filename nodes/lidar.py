"""The lidar process: `python -m sensorfuse.nodes.lidar --rig RIG`."""

from sensorfuse.nodes.sensor import sensor_main


def main(argv: list[str] | None = None) -> None:
    """Publish the rig's lidar stream."""
    sensor_main("lidar", argv)


if __name__ == "__main__":
    main()
