"""The engine: recordings in, a run out."""
