"""Remakes the tail of the default bundle: `python -m recipes.default_bundle --help`.

Voices at hand through our own LLDs, faces through our own encoder, joined to a pseudo audio-visual corpus along slow
random trajectories of affect, then the `edge` transformer with modality dropout, a table of its uncertainty by
coverage, and a report. It is honest about what it is: circumplex projections of acted and voted emotion categories.
"""
