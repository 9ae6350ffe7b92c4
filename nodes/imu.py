"""The imu process: `python -m sensorfuse.nodes.imu --rig RIG`."""

from sensorfuse.nodes.sensor import sensor_main


def main(argv: list[str] | None = None) -> None:
    """Publish the rig's imu stream."""
    sensor_main("imu", argv)


if __name__ == "__main__":
    main()
