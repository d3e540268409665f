"""The network, its training, everything that is fitted after it, and the exported signatures."""
