"""Parts of tools/bench.py: machine facts, random weights, one child process per measured row, tables."""
