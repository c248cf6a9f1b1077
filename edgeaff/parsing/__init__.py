"""Bounded parsers of untrusted files: limits first, then one boundary that turns every remaining error into one of the tree.

A file may be damaged or hostile. Every reader here states its limits (bytes, members, depth, counts) and checks them before it
allocates; `boundary` stands around a reader and lets only errors of the edgeaff tree out.
"""
