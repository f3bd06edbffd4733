"""What tools/bench.py is made of: the machine, made-up weights, one child process per measured row, tables."""
