"""The measuring code; benchmarks/*.py and `edgeaff bench` are thin scripts over it."""
