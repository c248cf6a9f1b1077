"""Everything that accepts connections: who may come in, how much, how long. Bound to the loopback unless a host is named."""
