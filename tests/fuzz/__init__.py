"""Mutates what comes in through every door of edgeaff: `make fuzz SECONDS=60 JSON=fuzz.json`.

A door takes bytes and either uses them or raises an error of the edgeaff tree. A signal, a hang of more than two seconds or any other
exception is a finding. Each door runs in its own child with bounded memory; inputs are numbered, so that a finding can be made again.
"""
