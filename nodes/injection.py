"""Faults on the command line of a process that puts them into what it sends."""

from __future__ import annotations

import argparse
from typing import Any

from sensorfuse.inject.fault import Fault, parse_fault


def add_fault_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fault", action="append", default=[], metavar="FAULT", help="TARGET:KIND[:VALUE][@AT[+FOR]]")
    parser.add_argument("--fault-seed", type=int, default=0, metavar="N", help="of what faults leave to chance")


def faults_of(arguments: argparse.Namespace) -> tuple[Fault, ...]:
    """The faults among a process's arguments.

    Raises:
        SensorfuseError: one does not read as a fault.
    """
    return tuple(parse_fault(text) for text in arguments.fault)


def torn(frames: list[Any]) -> list[Any]:
    """A message cut short on the wire: its topic and half of its header."""
    return [frames[0], frames[1][: len(frames[1]) // 2]]
