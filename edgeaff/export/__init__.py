"""Export: torch systems to ONNX, and from there to engines, each with a certificate."""
