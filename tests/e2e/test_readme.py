"""The README's commands do what it says they do."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from shared.ops.launch import ServiceProcess
from shared.ops.names import SERVICES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the README's code blocks in a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_one_proposal_submitted_by_hand(amqp_uri: str, make_database: Callable[[], str], tmp_path: Path) -> None:
    set_up, tokens = blocks("sh")
    (by_hand,) = blocks("python")
    # Everything but the reader's own values, the virtual environment and the services in terminals of their own.
    commands = [
        line.split("#")[0]
        for line in set_up.splitlines()
        if not line.startswith((". .venv", "export ", "commonweal-ops run", "commonweal-ops migrate"))
    ]
    assert commands
    databases = {service: make_database() for service in SERVICES}
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COMMONWEAL_AMQP_URI": amqp_uri,
        "COMMONWEAL_TOKEN_KEYS": str(tmp_path / "keys/keys.json"),
        "COMMONWEAL_PUBLISHERS": "any",
    }
    (tmp_path / "examples").symlink_to(ROOT / "examples")

    def shell(script: str, **more: str) -> str:
        run = subprocess.run(
            ["sh", "-euc", script],
            cwd=tmp_path,
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    shell("\n".join(commands))
    for service, url in databases.items():
        shell(f"commonweal-ops migrate {service}", COMMONWEAL_DATABASE_URL=url)
    shell(tokens)
    with ExitStack() as stack:
        for service, url in databases.items():
            settings = {name: value for name, value in environment.items() if name.startswith("COMMONWEAL_")}
            process = stack.enter_context(ServiceProcess(service, settings | {"COMMONWEAL_DATABASE_URL": url}))
            process.wait_until_ready()
        (tmp_path / "by_hand.py").write_text(by_hand)
        printed = shell(f"{sys.executable} by_hand.py").splitlines()
    assert re.fullmatch(r"P-\d{4}-0001 submitted Gaelic and English service pages, .*", printed[-2])
    assert re.fullmatch(r"P-\d{4}-0001 under_assessment", printed[-1])
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "keys").glob("*.pem"))


def test_the_readme_names_only_files_that_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
