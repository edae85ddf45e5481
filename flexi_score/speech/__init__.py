"""Speech probabilities to speech intervals: hysteresis, boundaries, crosstalk."""
