"""Sources of frames and samples: files, cameras, microphones, networks, recordings, the program itself."""
