"""`imagegate init`: the first configuration, and small data sets to try it on."""
