"""Servers: access rules and limits. Bound to the loopback unless a host is named."""
