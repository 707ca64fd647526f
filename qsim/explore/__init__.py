"""Metrics, the tensors of files, the embedded network, and tables that compare formats."""
