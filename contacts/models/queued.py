"""What imports and exports share: they wait in a queue, and run until they are over."""

from typing import ClassVar


class Queued:
    """A job with a `state`. `RUNNING`: its states from the queue until it is over."""

    RUNNING: ClassVar[tuple[str, ...]]
    state: str

    @property
    def is_running(self) -> bool:
        """Whether a worker or a command is to finish it."""
        return self.state in self.RUNNING

    @property
    def is_waiting(self) -> bool:
        return self.state == self.RUNNING[0]
