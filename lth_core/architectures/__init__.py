"""The families of networks, each as its tensors."""
