"""Recording a model at one width, and aligning the recordings of two widths."""
