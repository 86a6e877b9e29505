"""alembic runs this file to migrate the outcomes service's database."""

from services.outcomes.models import Base
from shared.storage.migrate import run_from_env

run_from_env(Base.metadata)
