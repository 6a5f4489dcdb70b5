"""Address of the application, from the environment."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def base_url() -> str:
    return f"{os.environ['BASE_URL']}/v1"


@pytest.fixture(scope="session")
def key() -> str:
    return os.environ["API_KEY"]
