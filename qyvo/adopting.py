"""What backends of databases need that let the threads of a process share connections."""

from typing import Any


def begin_anew(wrapper: Any) -> None:
    """Sets what Django's `connect` sets, for a connection that another thread has used."""
    wrapper.in_atomic_block = wrapper.needs_rollback = wrapper.closed_in_transaction = False
    wrapper.errors_occurred = False
    wrapper.savepoint_ids, wrapper.atomic_blocks, wrapper.run_on_commit = [], [], []
    wrapper.autocommit, wrapper.close_at, wrapper.health_check_done = True, None, True
