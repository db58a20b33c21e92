"""`python -m xpnet` is the command `xpnet`."""

from xpnet.pipelines.cli import main

if __name__ == "__main__":
    main()
