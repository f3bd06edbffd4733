"""The `animate` command: one module per verb; heavy modules are imported only when needed."""
