"""Where frames and samples come from: files, cameras, microphones, networks, recordings, the program itself."""
