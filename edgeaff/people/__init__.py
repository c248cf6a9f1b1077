"""What a session knows of people beyond one tick: who speaks, who has come back. Sans-IO, deterministic, off by default."""
