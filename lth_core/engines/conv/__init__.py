"""The CPU engine for Conv-2, Conv-4 and Conv-6: steps by hand on channels-last tensors, dead channels left out."""
