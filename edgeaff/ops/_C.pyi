"""The compiled module; each class and function is documented where edgeaff.ops and edgeaff.features wrap it."""

from typing import Any

def __getattr__(name: str) -> Any: ...
