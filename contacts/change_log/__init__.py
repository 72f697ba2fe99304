"""What the change log stores: the cause and the difference of a change, and the feed of changes."""
