"""One file per contestant; each is a program that reads a work folder and answers one JSON line per request."""
