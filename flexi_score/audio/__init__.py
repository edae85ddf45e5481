"""Recordings to samples: decoding, faults of containers, levels, dropouts."""
