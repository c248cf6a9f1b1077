"""The inputs of training: media or published features to tracks of frames and LLDs on disk, prepared once."""
