"""Speech -> IPUs -> turns, pauses, gaps, overlaps, backchannels, interruptions."""
