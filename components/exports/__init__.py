"""The model in the formats of other runtimes: converted, run by each runtime, and judged; see docs/exports.md."""
