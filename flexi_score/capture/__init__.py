"""Was a recording captured well? Measures, checks, the gate, swapped channels."""
