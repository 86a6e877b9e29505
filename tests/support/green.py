"""A pytest plugin (``-p tests.support.green``) that patches the standard library first, as nameko's command does."""

import warnings

warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

import eventlet  # noqa: E402

eventlet.monkey_patch()
