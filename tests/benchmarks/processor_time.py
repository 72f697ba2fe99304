"""The processor time that servers and PostgreSQL spend on requests.

Requests per second vary by a tenth from run to run on shared machines, because other programs take
processors away. Processor time varies by a few hundredths.
"""

import psutil
import psycopg


def of_processes(root: int) -> float:
    """Seconds of user and system time, up to now, of the process `root` and all its descendants.

    Descendants that have ended are included: Linux adds their time to the parent that waited for
    them (proc(5): cutime and cstime).
    """
    process = psutil.Process(root)
    while True:
        try:
            processes = [process, *process.children(recursive=True)]
            return sum(sum(each.cpu_times()[:4]) for each in processes)
        except psutil.NoSuchProcess:  # one has just ended, and its parent has its time by now
            if not process.is_running():
                raise


def postmaster(url: str) -> int:
    """The id of the process that started all backends of the PostgreSQL at `url`.

    Raises `psutil.NoSuchProcess` where PostgreSQL runs on another machine.
    """
    with psycopg.connect(url) as connection:
        return psutil.Process(connection.info.backend_pid).ppid()
