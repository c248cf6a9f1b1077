"""Readers of affect corpora behind one record type, `Track`; nothing here downloads anything."""

from edgeaff.training.corpora.record import UNANNOTATED, Track, fit_rows, labels_at, rows_of_ticks

__all__ = ["UNANNOTATED", "Track", "fit_rows", "labels_at", "rows_of_ticks"]
