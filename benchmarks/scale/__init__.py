"""What the control plane sustains, and what many GPUs would need of it."""
