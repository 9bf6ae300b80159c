"""An answer of a host is read whole, whatever its login shell prints; a broken one is never taken for an empty one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from webui_stack.transport.frame import BrokenAnswerError, Frame, FrameError, NoAnswerError

NOISE = "Welcome to this host!\nanswer-0 3\nyou have mail"  # without a final line break


def printed(shell: str, frame: Frame, command: str, stdin: str = "") -> list[str]:
    done = subprocess.run(
        [shell, "-c", frame.command(command)], input=stdin, capture_output=True, text=True, timeout=10, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")


@pytest.fixture(params=["bash", "dash"])
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        pytest.param("true", [], id="empty"),
        pytest.param("echo", [""], id="an empty line"),
        pytest.param("printf 'a\\nb'", ["a", "b"], id="no final line break"),
        pytest.param("printf 'a\\n\\n\\n'", ["a", "", ""], id="empty lines at the end"),
        pytest.param("printf 'gr\\303\\274n\\n'", ["grün"], id="UTF-8"),
        pytest.param("echo a; exit 0", ["a"], id="exit"),
        pytest.param("cat # what is read", ["in"], id="stdin and a comment at the end"),
        pytest.param("cat <<'END'\n. $x\nEND", [". $x"], id="a here-document"),
        pytest.param('case x in x) echo "it\'s" ;; esac', ["it's"], id="case and quotes"),
        pytest.param('env -i PATH="$PATH" sh -s survey', ["said"], id="a clean shell"),
        pytest.param("seq 20000", [str(number) for number in range(1, 20001)], id="long"),
    ],
)
def test_an_answer_is_what_the_command_printed(shell: str, command: str, lines: list[str]) -> None:
    frame = Frame()
    stdin = "echo said\n" if "sh -s" in command else "in\n"
    assert frame.lines(printed(shell, frame, command, stdin)) == lines


def test_what_a_login_shell_prints_before_is_skipped(shell: str) -> None:
    frame = Frame()
    answer = printed(shell, frame, "echo a; echo b")
    assert frame.lines((NOISE + "\n".join(answer)).split("\n")) == ["a", "b"]
    assert frame.lines([*NOISE.split("\n"), *answer, "logout", "answer-0"]) == ["a", "b"]


def test_an_answer_in_a_locale_that_counts_characters_is_whole() -> None:
    frame = Frame()
    assert frame.lines(["", f"{frame.token} 4", "grün", frame.token, ""]) == ["grün"]


@pytest.mark.parametrize("output", [[], [""], NOISE.split("\n"), ["answer-00 0", "", "answer-00"]])
def test_no_answer_is_never_an_empty_one(output: list[str]) -> None:
    with pytest.raises(NoAnswerError, match="expected its mark"):
        Frame().lines(output)


def test_another_call_knows_another_mark(shell: str) -> None:
    answer = printed(shell, Frame(), "echo a")
    with pytest.raises(NoAnswerError):
        Frame().lines(answer)


def test_an_answer_that_was_cut_off_is_broken(shell: str) -> None:
    frame = Frame()
    answer = printed(shell, frame, "echo a; echo b")
    begun = next(number for number, line in enumerate(answer) if line.startswith(frame.token))
    for end in range(begun + 1, answer.index(frame.token)):
        with pytest.raises(BrokenAnswerError, match="got its beginning"):
            frame.lines(answer[:end])


def test_an_answer_with_other_lines_in_it_is_broken(shell: str) -> None:
    frame = Frame()
    answer = printed(shell, frame, "echo a; echo b")
    between = answer.index("b")
    with pytest.raises(BrokenAnswerError, match="expected 4 bytes, got 12"):
        frame.lines([*answer[:between], "warning", *answer[between:]])


def test_a_command_that_fails_prints_and_ends_as_it_would_alone(shell: str) -> None:
    frame = Frame()
    command = frame.command("echo a; echo why >&2; exit 7")
    done = subprocess.run([shell, "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "a\n", "why\n")
    with pytest.raises(FrameError):
        frame.lines(done.stdout.split("\n"))


def test_a_login_script_that_prints_spoils_nothing(tmp_path: Path) -> None:
    """With bash's own start-up file, as it is read for a command of sshd's (ENV and BASH_ENV stand for it)."""
    noisy = tmp_path / "noisy"
    noisy.write_text("printf 'last login: today'\n")
    frame = Frame()
    environment = {"PATH": "/usr/bin:/bin", "BASH_ENV": str(noisy)}
    done = subprocess.run(
        ["bash", "-c", frame.command("echo a")], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.startswith("last login: today")
    assert frame.lines(done.stdout.split("\n")) == ["a"]
