"""The REST front: a FastAPI application over the record of searches, without torch and without ray."""
