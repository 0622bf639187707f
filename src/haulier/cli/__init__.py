"""The command line. A client of the HTTP API like any other, save for `haulier up`, which starts the all-in-one."""
