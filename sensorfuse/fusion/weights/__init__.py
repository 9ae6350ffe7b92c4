"""Trained weights (ONNX) with the command, seed and measured accuracy that made them."""
