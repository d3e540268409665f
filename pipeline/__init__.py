"""The side that decides: configuration, graph, runners, commands. Imports `components`; never the reverse."""
