"""One function per command of the command line. Each imports what it needs once it runs."""
