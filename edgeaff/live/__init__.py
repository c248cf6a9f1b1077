"""The live page: a small server and a page that show a running or a stored session in a browser."""
