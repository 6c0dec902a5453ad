"""Settings come from the environment, the project file and defaults, in that order, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfsync.errors import SettingsError
from sfsync.settings import load

FILE = """
[store]
url = "postgresql:///sfsync"
[orgs.acme]
username = "integration@acme.example"
private_key_file = "keys/acme.key"
nightly = "22:00"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sfsync.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    settings = load(write(tmp_path, FILE), {"HOME": str(tmp_path), "SFSYNC_ORGS__ACME__NIGHTLY": "23:30"})
    assert settings.orgs["acme"].nightly == "23:30"
    assert settings.store.url == "postgresql:///sfsync"


def test_a_path_is_read_from_where_the_file_stands(tmp_path: Path) -> None:
    settings = load(write(tmp_path, FILE), {"HOME": str(tmp_path)})
    assert settings.orgs["acme"].private_key_file == tmp_path / "keys" / "acme.key"


def test_the_data_directory_follows_the_home_of_the_user(tmp_path: Path) -> None:
    assert load(write(tmp_path, ""), {"HOME": str(tmp_path)}).data_dir == tmp_path / ".local" / "share" / "sfsync"
    assert load(write(tmp_path, ""), {"XDG_DATA_HOME": str(tmp_path)}).data_dir == tmp_path / "sfsync"


def test_an_unknown_key_names_file_and_key(tmp_path: Path) -> None:
    path = write(tmp_path, FILE + 'colour = "red"\n')
    with pytest.raises(SettingsError) as caught:
        load(path, {"HOME": str(tmp_path)})
    assert str(caught.value) == f"{path}: orgs.acme.colour: there is no such key"


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^SFSYNC_ORGS__ACME__NIGHTLY: "):
        load(write(tmp_path, FILE), {"HOME": str(tmp_path), "SFSYNC_ORGS__ACME__NIGHTLY": "late"})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load(tmp_path / "missing.toml", {"HOME": str(tmp_path)})


def test_a_secret_is_never_printed(tmp_path: Path) -> None:
    settings = load(write(tmp_path, FILE), {"HOME": str(tmp_path), "SFSYNC_ORGS__ACME__CLIENT_SECRET": "hunter2"})
    assert "hunter2" not in repr(settings)
    assert settings.orgs["acme"].client_secret is not None
