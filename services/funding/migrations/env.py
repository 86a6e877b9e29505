"""Runs the funding service's migrations."""

from services.funding.models import Base
from shared.storage.migrate import run_from_env

run_from_env(Base.metadata)
