"""Whether a synthetic table may leave: policy, verdict, approval, export, verification."""
