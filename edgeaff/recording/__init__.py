"""Recordings of a session: the file format, the recorder that writes it, and the replay that makes the same calls again."""
