"""Label kinds: one module each says how a label is encoded, counted, learnt and judged."""
