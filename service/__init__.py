"""The service around the science: record, REST front, client and command line."""
