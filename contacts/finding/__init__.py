"""Which contacts a filter means, and the cursors of lists."""
