"""Studies on top of the trainer: Table 1, Fig. 4, the edge reference, several seeds, and the submission files."""
