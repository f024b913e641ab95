"""Reference policies and exact values of families that ship, in NumPy: all tasks and trials of a batch at once."""
