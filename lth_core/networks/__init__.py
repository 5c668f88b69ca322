"""The families of networks as torch modules, with the tensors that `lth_core.architecture` lists."""
