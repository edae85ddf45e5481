"""The slow part: audio to speech probabilities, levels and words. The only heavy imports."""
