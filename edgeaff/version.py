"""The version of edgeaff, stated once; package metadata read it from here."""

__version__ = "0.1.0"
