"""Benchmarks of `edgeaff bench`; benchmarks/*.py also use them."""
