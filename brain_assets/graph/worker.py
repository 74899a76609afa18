"""What a process of `brain_assets.graph.workers.ProcessPool` does."""

import os
import queue
import threading
from multiprocessing.connection import Connection

from brain_assets.graph.build import open_project
from brain_assets.graph.instance import dagster_home, open_instance
from brain_assets.graph.tasks import Task
from brain_assets.graph.work import Worker
from brain_assets.settings import read_settings


def work(descriptor: int) -> None:
    """Do the tasks that come through a connection, for as long as who sends them lives."""
    connection, tasks = Connection(descriptor), queue.SimpleQueue[Task]()
    threading.Thread(target=_receive, args=(connection, tasks), daemon=True).start()
    settings = read_settings()
    with open_instance(dagster_home(settings)) as instance:
        worker = Worker(open_project(settings), instance)
        while True:
            connection.send(worker.do(tasks.get(), lambda line, level: connection.send((line, level))))


def _receive(connection: Connection, tasks: "queue.SimpleQueue[Task]") -> None:
    try:
        while True:
            tasks.put(connection.recv())
    except (EOFError, OSError):
        os._exit(1)
