"""The science of lottery tickets: what a search is, and how one lineage is computed."""
