"""How the client speaks to the service: requests, events, downloads, documents and problems."""
