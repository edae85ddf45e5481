"""``python -m flexi_score``: the command line."""

from flexi_score.cli import main

if __name__ == "__main__":
    main()
