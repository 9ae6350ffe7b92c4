"""The camera process: `python -m sensorfuse.nodes.camera --rig RIG`."""

from sensorfuse.nodes.sensor import sensor_main


def main(argv: list[str] | None = None) -> None:
    """Publish the rig's camera stream."""
    sensor_main("camera", argv)


if __name__ == "__main__":
    main()
