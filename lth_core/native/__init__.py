"""Fully connected networks trained by C kernels: dense layers in register tiles, sparse ones by their survivors."""
