"""One clear line for each thing that can be wrong with the machine."""

import socket
from pathlib import Path

import pytest

from clew.local.problems import Port, StackError, check_home, check_port, free_port


def test_a_port_in_use_names_who_wants_it_who_has_it_and_the_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StackError) as caught:
            check_port(Port(port, "Kafka", "CLEW_KAFKA_PORT"))
    message = str(caught.value)
    assert message.startswith(f"port {port} for Kafka is in use by ")
    assert message.endswith("stop that program, or set CLEW_KAFKA_PORT to a free port")
    assert "\n" not in message


def test_a_free_port_passes() -> None:
    check_port(Port(free_port(), "Kafka", "CLEW_KAFKA_PORT"))


def test_a_data_folder_that_cannot_be_written_is_one_line_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"file/home cannot be written \(Not a directory\).*CLEW_HOME"):
        check_home(tmp_path / "file" / "home")


def test_a_full_disk_is_one_line_with_what_is_free_and_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"MiB free, and 1125899906842624 are needed: free some space"):
        check_home(tmp_path, needed=1 << 70)


def test_a_usable_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    check_home(tmp_path / "a" / "b", needed=1)
    assert list((tmp_path / "a" / "b").iterdir()) == []
