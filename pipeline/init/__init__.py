"""`imagegate init`: a first configuration, and small data sets to try it on."""
