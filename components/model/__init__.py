"""The exported model: its network, its training, everything that is fitted after it, and its signatures."""
