"""Trains the gate that lets audio count as evidence only while somebody speaks: generated clips against recorded voices."""
