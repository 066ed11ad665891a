"""Where the programs that work on one data folder meet. Standard library only: a client's start waits for it."""
