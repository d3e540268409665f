"""One function per command of the command line. Each imports what it needs when it is called."""
