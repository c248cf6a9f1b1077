"""Trains the `edge` face encoder on FER+ votes: data, augmentation, network, training, evaluation, export."""
