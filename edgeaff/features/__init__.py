"""What each modality states: the face descriptor, and the 65 low-level descriptors of the voice."""
