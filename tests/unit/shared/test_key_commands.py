"""``commonweal-ops keys`` and ``tokens``: what an operator sees of keys and tokens, and what nobody may see."""

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner, Result

from shared.ops import key_directory
from shared.ops.cli import main
from shared.security.keys import PublicKey
from shared.security.principal import CDO
from shared.security.tokens import SigningKey, Verifier
from tests.support.stage import eventually

COMMAND = str(Path(sys.executable).with_name("commonweal-ops"))


def ops(*arguments: object, input: str | None = None, **environment: str) -> Result:
    runner = CliRunner(env={"COMMONWEAL_TOKEN_KEYS": None, "COMMONWEAL_TOKEN_AUDIENCE": None})
    return runner.invoke(main, [str(argument) for argument in arguments], input=input, env=environment)


def refused(result: Result) -> str:
    assert result.exit_code in (1, 2), result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Error: " in result.output
    return " ".join(result.output.split())


def listed(directory: Path) -> dict[str, dict[str, Any]]:
    result = ops("keys", "list", directory, "--json")
    assert result.exit_code == 0, result.output
    return {entry["key_id"]: entry for entry in map(json.loads, result.output.splitlines())}


def has_open(pid: int, path: Path) -> bool:
    return any(file.is_symlink() and file.readlink() == path for file in Path(f"/proc/{pid}/fd").iterdir())


def accepted(directory: Path) -> list[str]:
    return [key["kid"] for key in json.loads((directory / "keys.json").read_text())["keys"]]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A directory with two keys."""
    directory = tmp_path / "keys"
    for _ in range(2):
        assert ops("keys", "new", directory).exit_code == 0
    return directory


class TestKeys:
    def test_a_list_says_of_each_key_what_there_is_to_know(self, keys: Path) -> None:
        old, new = accepted(keys)
        ops("keys", "retire", keys, old)
        entries = listed(keys)
        assert list(entries) == [new, old]
        assert (entries[new]["is_accepted"], entries[old]["is_accepted"]) == (True, False)
        assert entries[new]["retired_at"] is None
        for moment in (entries[old]["retired_at"], entries[old]["made_at"], entries[new]["made_at"]):
            assert abs(datetime.fromisoformat(moment) - datetime.now(UTC)) < timedelta(minutes=1)
        for key_id, entry in entries.items():
            own = PublicKey.of(SigningKey.read(keys / f"{key_id}.pem").public_jwk())
            assert entry["thumbprint"] == own.thumbprint
            assert entry["private_half"] == "here"
        first, second = ops("keys", "list", keys).output.splitlines()
        assert first.split("\t")[:2] == [new, "accepted"]
        assert second.split("\t")[:2] == [old, f"retired {entries[old]['retired_at']}"]

    def test_a_list_says_how_it_stands_with_private_halves(self, keys: Path) -> None:
        first, second = accepted(keys)
        (keys / f"{first}.pem").unlink()
        os.chmod(keys / f"{second}.pem", 0o644)
        (keys / "stray.pem").write_bytes(SigningKey.new().private_pem())
        halves = {key_id: entry["private_half"] for key_id, entry in listed(keys).items()}
        assert halves == {first: "absent", second: "readable by others", "stray": "readable by others"}
        assert "stray\tunknown to services" in ops("keys", "list", keys).output
        (keys / f"{second}.pem").write_bytes(SigningKey.new().private_pem())
        (keys / "stray.pem").write_text("no key")
        halves = {key_id: entry["private_half"] for key_id, entry in listed(keys).items()}
        assert (halves[second], halves["stray"]) == ("not its own", "not its own")

    def test_a_directory_that_is_not_there_or_empty_is_told(self, tmp_path: Path) -> None:
        assert "keys new makes it" in refused(ops("keys", "list", tmp_path / "none"))
        assert "no keys in" in ops("keys", "list", tmp_path).output

    def test_a_retired_key_leaves_the_services_file_and_is_kept_beside_it(self, keys: Path) -> None:
        old, new = accepted(keys)
        token = SigningKey.read(keys / f"{old}.pem").issue("ann", [CDO])
        result = ops("keys", "retire", keys, old)
        assert result.exit_code == 0, result.output
        assert str(keys / f"{old}.pem") in result.output
        assert accepted(keys) == [new]
        (kept,) = json.loads((keys / "retired-keys.json").read_text())["keys"]
        assert (kept["kid"], "d" in kept) == (old, False)
        assert (keys / f"{old}.pem").exists()
        look = ops("tokens", "inspect", "--keys", keys / "keys.json", input=token)
        assert (look.exit_code, f"its key {old} is retired since {kept['retired_at']}" in look.output) == (1, True)

    def test_the_private_half_goes_when_that_is_said(self, keys: Path) -> None:
        old, new = accepted(keys)
        assert ops("keys", "retire", keys, old, "--delete-private-key").exit_code == 0
        assert [path.stem for path in keys.glob("*.pem")] == [new]

    def test_a_key_that_there_is_not_is_refused_with_those_that_there_are(self, keys: Path) -> None:
        old, new = accepted(keys)
        assert f"there are: {old}, {new}" in refused(ops("keys", "retire", keys, "20160101-00000000"))
        assert ops("keys", "retire", keys, old).exit_code == 0
        assert f"{old} was retired already, at 20" in refused(ops("keys", "retire", keys, old))
        assert accepted(keys) == [new]
        assert "there are" in refused(ops("keys", "retire", keys, "../../x"))

    def test_the_last_key_goes_only_when_that_is_said(self, keys: Path) -> None:
        old, last = accepted(keys)
        token = SigningKey.read(keys / f"{last}.pem").issue("ann", [CDO])
        assert ops("keys", "retire", keys, old).exit_code == 0
        assert "services refuse every token" in refused(ops("keys", "retire", keys, last))
        assert accepted(keys) == [last]
        assert ops("keys", "retire", keys, last, "--even-the-last").exit_code == 0
        assert accepted(keys) == []
        code, look = TestInspect().look(keys, token)
        assert (code, f"its key {last} is retired since" in look["reason"]) == (1, True)
        assert ops("keys", "new", keys).exit_code == 0
        assert len(accepted(keys)) == 1

    @pytest.mark.parametrize(
        "content", ["", "{}", '{"keys": [{"kid": "a"}]}', '{"keys": [{"kid": "a", "d": "hunter2"}]}']
    )
    @pytest.mark.parametrize("file", ["keys.json", "retired-keys.json"])
    def test_a_file_that_was_edited_into_nonsense_is_named_and_left(self, keys: Path, file: str, content: str) -> None:
        before = accepted(keys)
        (keys / file).write_text(content)
        for command in (["list", keys], ["retire", keys, before[0]]):
            said = refused(ops("keys", *command))
            assert f"{keys / file} is not a JWKS file" in said
            assert "hunter2" not in said
        assert (keys / file).read_text() == content

    def test_files_have_their_modes_whatever_the_mask(self, tmp_path: Path) -> None:
        for mask in (0o000, 0o077):
            directory = tmp_path / f"{mask}"
            previous = os.umask(mask)
            try:
                for _ in range(2):
                    assert ops("keys", "new", directory).exit_code == 0
                assert ops("keys", "retire", directory, accepted(directory)[0]).exit_code == 0
            finally:
                os.umask(previous)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
            assert {mode for name, mode in modes.items() if name.endswith(".pem")} == {0o600}
            assert {mode for name, mode in modes.items() if name.endswith(".json")} == {0o644}
            assert not directory.stat().st_mode & 0o022

    def test_a_directory_that_anybody_may_write_into_is_refused(self, keys: Path) -> None:
        os.chmod(keys, 0o777)
        assert "chmod o-w" in refused(ops("keys", "new", keys))
        assert len(accepted(keys)) == 2

    def test_what_an_interrupted_command_left_is_in_nobodys_way(self, keys: Path) -> None:
        old, _ = accepted(keys)
        (keys / "keys.json.new").write_text("half a fi")
        # Retiring was interrupted between its two files.
        (keys / "retired-keys.json").write_text((keys / "keys.json").read_text())
        assert listed(keys)[old]["is_accepted"]
        assert ops("keys", "retire", keys, old).exit_code == 0
        assert not listed(keys)[old]["is_accepted"]

    def test_who_waits_too_long_for_another_command_is_told(self, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(key_directory, "LOCK_TIMEOUT_S", 0.1)
        with key_directory.KeyDirectory(keys)._alone():
            assert "another command works on" in refused(ops("keys", "new", keys))
        assert len(accepted(keys)) == 2

    def test_two_who_make_keys_at_once_lose_none(self, keys: Path) -> None:
        """Real processes, held at the door until all of them stand there; a key is retired meanwhile."""
        old, new = accepted(keys)
        with key_directory.KeyDirectory(keys)._alone():
            running = [
                subprocess.Popen([COMMAND, "keys", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for words in (["new", str(keys)], ["new", str(keys)], ["retire", str(keys), old])
            ]
            eventually(lambda: all(has_open(process.pid, keys) for process in running))
        printed = [process.communicate(timeout=60)[0] for process in running]
        assert [process.returncode for process in running] == [0, 0, 0], printed
        made = {Path(line.rpartition(" ")[2]).stem for text in printed for line in text.splitlines() if ".pem" in line}
        assert set(accepted(keys)) == {new, *made} - {old}
        assert len(accepted(keys)) == 3
        for path in keys.glob("*.pem"):
            token = SigningKey.read(path).issue("ann", [CDO])
            if path.stem != old:
                assert Verifier.read(keys / "keys.json").verify(token).subject == "ann"


class TestIssue:
    def issue(self, keys: Path, subject: str, *options: object) -> dict[str, Any]:
        private = keys / f"{accepted(keys)[0]}.pem"
        result = ops("tokens", "issue", subject, "--key", private, "--role", "cdo", *options)
        assert result.exit_code == 0, result.output
        return dict(jwt.decode(result.output.strip(), options={"verify_signature": False}))

    def test_a_name_is_written_small(self, keys: Path) -> None:
        assert self.issue(keys, "Ann@Test.Example")["sub"] == "ann@test.example"

    @pytest.mark.parametrize("subject", ["", "a b", "m\u00f2rag", "ann\u200b", "\u0430nn", "x" * 129])
    def test_a_name_that_could_be_two_is_refused(self, keys: Path, subject: str) -> None:
        private = keys / f"{accepted(keys)[0]}.pem"
        said = refused(ops("tokens", "issue", subject, "--key", private, "--role", "cdo"))
        assert "a subject has 1 to 128 signs" in said

    def test_it_may_begin_later_and_be_for_another_deployment(self, keys: Path) -> None:
        day = datetime.now(UTC).date() + timedelta(days=3)
        claims = self.issue(keys, "ann", "--not-before", day, "--hours", 5, "--audience", "commonweal-test")
        assert datetime.fromtimestamp(claims["nbf"], UTC) == datetime(day.year, day.month, day.day, tzinfo=UTC)
        assert (claims["exp"] - claims["nbf"], claims["aud"]) == (5 * 3600, "commonweal-test")

    def test_too_long_a_life_is_refused(self, keys: Path) -> None:
        private, day = keys / f"{accepted(keys)[0]}.pem", datetime.now(UTC).date() + timedelta(days=3)
        words = ["tokens", "issue", "ann", "--key", private, "--role", "cdo", "--not-before", day, "--hours", 366 * 24]
        assert "within 366 days" in refused(ops(*words))


class TestInspect:
    @pytest.fixture
    def key(self, keys: Path) -> SigningKey:
        return SigningKey.read(keys / f"{accepted(keys)[0]}.pem")

    def look(self, keys: Path, token: str, *options: object) -> tuple[int, dict[str, Any]]:
        result = ops("tokens", "inspect", "--keys", keys / "keys.json", "--json", *options, input=token)
        return result.exit_code, json.loads(result.output)

    def test_a_good_token_is_shown_and_never_given_back(self, keys: Path, key: SigningKey, tmp_path: Path) -> None:
        token = key.issue("ann@test.example", ["proposer", "sponsor"], council="S12000036")
        (tmp_path / "token").write_text(token + "\n")
        for words, input_ in (([tmp_path / "token"], None), (["-"], token), ([], f" {token}\n")):
            result = ops("tokens", "inspect", *words, "--keys", keys / "keys.json", input=input_)
            assert result.exit_code == 0, result.output
            lines = dict(line.split(None, 1) for line in result.output.splitlines())
            assert lines["subject"] == "ann@test.example"
            assert lines["roles"] == "proposer, sponsor"
            assert lines["council"] == "S12000036"
            assert lines["key"] == key.key_id
            assert lines["accepted"] == "yes"
            assert "UTC, 11 h 59 min from now" in lines["expires"]
            for part in token.split("."):
                assert part not in result.output

    def test_for_a_program(self, keys: Path, key: SigningKey) -> None:
        code, look = self.look(keys, key.issue("ann", [CDO], lifetime=timedelta(hours=1)))
        assert (code, look["accepted"], look["reason"]) == (0, True, None)
        assert (look["key_id"], look["claims"]["sub"]) == (key.key_id, "ann")
        assert 3590 < look["seconds_left"] <= 3600
        assert datetime.fromisoformat(look["expires_at"]) > datetime.fromisoformat(look["issued_at"])

    def test_without_keys_nothing_is_checked_and_it_says_so(self, key: SigningKey) -> None:
        result = ops("tokens", "inspect", input=key.issue("ann", [CDO]))
        assert (result.exit_code, "not checked" in result.output) == (0, True)

    def test_the_keys_and_the_audience_are_those_of_the_services(self, keys: Path, key: SigningKey) -> None:
        token = key.issue("ann", [CDO], audience="commonweal-test")
        environment = {"COMMONWEAL_TOKEN_KEYS": str(keys / "keys.json")}
        assert ops("tokens", "inspect", input=token, **environment).exit_code == 1
        environment["COMMONWEAL_TOKEN_AUDIENCE"] = "commonweal-test"
        assert ops("tokens", "inspect", input=token, **environment).exit_code == 0

    def test_why_it_would_be_refused_is_told(self, keys: Path, key: SigningKey) -> None:
        stranger = SigningKey.new()
        past = datetime.now(UTC) - timedelta(hours=20)
        good = key.issue("ann", [CDO])
        parts, other_parts = good.split("."), key.issue("bob", [CDO]).split(".")
        raw = jwt.encode({"sub": "a"}, "x" * 32, algorithm="HS256", headers={"kid": key.key_id})
        future = datetime.now(UTC) + timedelta(hours=1)
        for token, says in (
            (key.issue("ann", [CDO], now=past), "it has expired"),
            (key.issue("ann", [CDO], audience="elsewhere"), "not for the audience commonweal"),
            (key.issue("ann", [CDO], not_before=future), "not good yet"),
            (stranger.issue("ann", [CDO]), f"the key {stranger.key_id}, which is not among those"),
            (SigningKey(stranger._private_key, key.key_id).issue("ann", [CDO]), "its signature does not hold"),
            (".".join([parts[0], other_parts[1], parts[2]]), "its signature does not hold"),
            (raw, "not signed by EdDSA"),
            (f"{good}==", "not three parts of base64url"),
        ):
            code, look = self.look(keys, token)
            assert (code, look["accepted"]) == (1, False)
            assert says in look["reason"]

    def test_a_forged_token_of_a_retired_key_is_told_from_a_real_one(self, keys: Path, key: SigningKey) -> None:
        forged = SigningKey(SigningKey.new()._private_key, key.key_id).issue("ann", [CDO])
        assert ops("keys", "retire", keys, key.key_id).exit_code == 0
        real_reason = self.look(keys, key.issue("ann", [CDO]))[1]["reason"]
        assert "is retired since" in real_reason
        assert "signature" not in real_reason
        assert "and its signature does not hold" in self.look(keys, forged)[1]["reason"]

    def test_nothing_of_it_reaches_the_terminal_as_it_is(self, keys: Path) -> None:
        claims = {"sub": "a\x1b[2J\u202eb", "exp": float("inf"), "iat": "\r\n", "roles": [5], "x\x1b": {"y": "\x07"}}
        token = jwt.encode(claims, "k" * 32, algorithm="HS256", headers={"kid": "\x1b]0;hi\x07", "jku": "\u200b"})
        result = ops("tokens", "inspect", "--keys", keys / "keys.json", input=token)
        assert result.exit_code == 1
        assert all(sign.isprintable() for sign in result.output.replace("\n", ""))
        assert "a\\x1b[2J\\u202eb" in result.output
        code, look = self.look(keys, token)
        assert (code, look["claims"]["exp"], look["expires_at"]) == (1, "inf", None)

    @pytest.mark.parametrize(
        "text", ["", "\n", "nonsense", "a.b.c", "..", "x" * 70_000, "\x00.\x1b.\x1b", "e30.e30", "W10.W10.AA"]
    )
    def test_what_is_no_token_ends_with_2(self, keys: Path, text: str) -> None:
        result = ops("tokens", "inspect", "--keys", keys / "keys.json", input=text)
        assert result.exit_code == 2
        assert "Error: " in result.output
        assert isinstance(result.exception, SystemExit)

    def test_files_that_cannot_be_read_end_with_2(self, keys: Path, key: SigningKey, tmp_path: Path) -> None:
        token = key.issue("ann", [CDO])
        assert ops("tokens", "inspect", tmp_path / "none").exit_code == 2
        assert ops("tokens", "inspect", "--keys", tmp_path / "none", input=token).exit_code == 2
        (tmp_path / "keys.json").write_text("{}")
        assert ops("tokens", "inspect", "--keys", tmp_path / "keys.json", input=token).exit_code == 2

    def test_a_token_on_the_command_line_is_refused_and_not_repeated(self, key: SigningKey) -> None:
        token = key.issue("ann", [CDO])
        result = ops("tokens", "inspect", token)
        assert result.exit_code == 2
        assert "looks like the token itself" in result.output
        for part in token.split("."):
            assert part not in result.output


def test_as_an_operator_types_it(keys: Path) -> None:
    """Once as real processes, through a pipe."""
    script = """
        $OPS tokens issue Ann@Test.Example --key "$KEY" --role cdo | $OPS tokens inspect --keys keys.json
        echo "ended with $?"
    """
    environment = {**os.environ, "OPS": COMMAND, "KEY": f"{accepted(keys)[1]}.pem"}
    ran = subprocess.run(
        ["sh", "-c", script], cwd=keys, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    lines = ran.stdout.splitlines()
    assert "subject     ann@test.example" in lines, ran.stderr
    assert lines[-2:] == ["accepted    yes", "ended with 0"]
