"""What the staff see of contacts, a module for each kind of row."""

from . import bulk, contacts, imports, tags, tasks, webhooks

__all__ = ["bulk", "contacts", "imports", "tags", "tasks", "webhooks"]
