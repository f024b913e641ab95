import resource
import struct
import threading
from contextlib import contextmanager

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from metarl.config.registry import REINFORCEMENT_LEARNING
from metarl.core.errors import RunError
from metarl.runs.tensorboard import Events


def record(number):
    return {"iteration": number, "return": [0.5, None, number + 0.25], "kl": 0.125, "seconds": {"sampling": 2.0}}


def written(path):
    """The events of a file: each lies between its length, a checksum of that, and one of its own."""
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        events.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return events


def scalars(path):
    return {(value.tag, event.step): value.simple_value for event in written(path) for value in event.summary.value}


@contextmanager
def file_size_limit(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_every_scalar_of_a_record_is_an_event(tmp_path):
    with Events(tmp_path, 0, REINFORCEMENT_LEARNING) as events:
        events.write(record(3))
        events.write_validation({"return": [1.5], "success": [None, 0.25]}, 3)
    (path,) = (tmp_path / "tensorboard").iterdir()
    assert written(path)[0].file_version == "brain.Event:2"
    assert scalars(path) == {
        ("return/step-0", 3): 0.5,
        ("return/step-2", 3): 3.25,
        ("kl", 3): 0.125,
        ("seconds/sampling", 3): 2.0,
        ("meta-validation/step-0", 3): 1.5,
        ("meta-validation-success/step-1", 3): 0.25,
    }


def test_a_resumed_run_keeps_the_first_file_and_supersedes_what_it_has_of_later_iterations(tmp_path):
    for begins in (0, 2):  # within one second
        with Events(tmp_path, begins, REINFORCEMENT_LEARNING) as events:
            events.write(record(begins + 1))
    first, second = sorted((tmp_path / "tensorboard").iterdir(), key=lambda path: path.suffix)
    assert ("kl", 1) in scalars(first)
    (start,) = [event for event in written(second) if event.HasField("session_log")]
    assert (start.step, start.session_log.status) == (3, SessionLog.START)


def write(run, count, error=None):
    with Events(run, 0, REINFORCEMENT_LEARNING) as events:
        for number in range(1, count + 1):
            events.write(record(number))
        if error is not None:
            raise error


def test_events_are_written_by_the_thread_that_trains(tmp_path):
    threads = threading.active_count()
    with Events(tmp_path, 0, REINFORCEMENT_LEARNING) as events:
        events.write(record(1))
        assert threading.active_count() == threads


def test_a_disk_that_is_full_is_an_error_and_not_an_endless_wait(tmp_path):
    with file_size_limit(2048), pytest.raises(RunError, match="tensorboard: cannot be written: File too large"):
        write(tmp_path, 1000)


def test_events_that_cannot_be_flushed_at_the_end_are_an_error_unless_there_is_one(tmp_path):
    with file_size_limit(256):
        with pytest.raises(RunError, match="cannot be written"):
            write(tmp_path / "one", 2)
        with pytest.raises(ZeroDivisionError):
            write(tmp_path / "two", 2, ZeroDivisionError())
