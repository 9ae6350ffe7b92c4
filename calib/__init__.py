"""Calibration file formats and tools."""
