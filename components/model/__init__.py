"""The network, its training, and everything fitted after it; the exported signatures."""
