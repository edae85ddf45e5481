"""``python -m flexi_score.cli``."""

from flexi_score.cli import main

main()
