"""flexi_score: score recordings of full-duplex conversations."""
