"""Which version is served, was served and is to be served: `imagegate served` and `promote`."""
