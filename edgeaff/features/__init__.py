"""Features of each modality: the face descriptor, and the 65 low-level descriptors of the voice."""
