"""Where events go: files, sockets, brokers, subtitles, recordings."""
