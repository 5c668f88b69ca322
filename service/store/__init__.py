"""The record of searches: objects (the truth), index, queue, leases, quotas and events."""
