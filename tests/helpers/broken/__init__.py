"""What the tests in tests/faults break things with: disks, clocks, processes and files; and the table of faults."""
