"""The archive: what extraction measured, stored permanently, so that scoring needs no audio."""
