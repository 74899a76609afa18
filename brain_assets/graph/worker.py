"""What a process of `brain_assets.graph.workers.ProcessPool` does."""

import os
import queue
import threading
from multiprocessing.connection import Connection

from brain_assets.graph.build import open_session
from brain_assets.graph.tasks import Task
from brain_assets.graph.work import Worker
from brain_assets.settings import read_settings


def work(descriptor: int) -> None:
    """Do the tasks that come through a connection, for as long as who sends them lives."""
    connection, tasks = Connection(descriptor), queue.SimpleQueue[Task]()

    def receive() -> None:
        try:
            while True:
                tasks.put(connection.recv())
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=receive, daemon=True).start()
    with open_session(read_settings()) as session:
        worker = Worker(*session)
        while True:
            connection.send(worker.do(tasks.get(), lambda line, level: connection.send((line, level))))
