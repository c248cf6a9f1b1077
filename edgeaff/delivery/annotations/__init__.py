"""Events in the formats of annotation tools: ELAN, Praat, NOVA, BIDS. One module per format, `write(events, path, ...)` in each."""
