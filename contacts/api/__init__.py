"""The HTTP API: one module per topic, with the shapes of bodies and answers before the views."""
