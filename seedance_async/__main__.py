"""``python -m seedance_async`` is ``seedance``."""

from seedance_async.cli import main

if __name__ == "__main__":
    main()
