"""Every system of the paper, one readable file each; `SYSTEMS` names them."""

from edgeaff.training.models.registry import SYSTEMS, System, find_system

__all__ = ["SYSTEMS", "System", "find_system"]
