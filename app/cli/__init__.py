"""The `animate` command: one module per verb, nothing heavy imported before it is needed."""
