"""What every service stands on; imports no service."""

import warnings

# eventlet announces its own retirement at every import; ADR 2 says what we do about it. Just that warning is silenced.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
