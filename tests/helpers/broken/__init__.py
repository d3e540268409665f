"""What the tests in tests/faults break things with: disks, clocks, processes, stores; and the table of what came of it."""
