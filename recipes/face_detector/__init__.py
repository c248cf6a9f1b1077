"""Trains the face detector that ships: data, network, loss, trainer, export and validation."""
