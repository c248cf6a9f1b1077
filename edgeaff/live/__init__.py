"""The live page: a small server and our own page that show a running or a stored session in a browser."""
