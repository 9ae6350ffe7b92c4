"""`sensorfuse train` and `sensorfuse eval`: what is asked wrongly is said in words, before anything takes time."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
from typer.testing import CliRunner

from sensorfuse.cli import app
from sensorfuse.errors import SensorfuseError


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train --strategy hybrid --task fly", "expected driving or activity or imputation"),
        ("train --strategy hybrid --task activity", "needs --data"),
        ("train --strategy hybrid --task activity --data {empty}", "no recordings"),
        ("train --strategy hybrid --learning-rate 0", "--learning-rate 0.0"),
        (
            "train --strategy hybrid --ticks 5 --run-ticks 2 --data {empty}/new",
            "5 ticks per world do not make whole runs",
        ),
        ("eval robustness --strategy lat", "no fusion strategy is called 'lat'"),
        ("eval robustness --strategy late --corruption hail", "no corruption is called 'hail'"),
        ("eval streaming-accuracy {empty}/none.mcap", "no such file"),
        ("eval activity --data {empty}", "no recordings"),
        ("eval accuracy --strategy hybrid --impute guess", "--impute guess: expected none"),
        ("eval accuracy --strategy late --into-readme {empty}/none.md", "none.md: cannot be read"),
        ("eval accuracy --strategy late --into-weights --weights {empty}/file/folder", "--into-weights"),
        ("eval accuracy --strategy hybrid --impute retrieval --weights {empty}", "no weights"),
    ],
)
def test_mistakes_are_said_in_words(arguments: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, arguments.format(empty=tmp_path).split())
    assert isinstance(result.exception, SensorfuseError), result.output
    assert words in str(result.exception)


def test_a_readme_without_marks_is_told_before_anything_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(*_: object) -> None:
        raise AssertionError("minutes of judging")

    monkeypatch.setattr("sensorfuse.fusion.evaluation.accuracy.evaluate", judge)
    (tmp_path / "README.md").write_text("no marks")
    result = CliRunner().invoke(app, f"eval accuracy -s late --into-readme {tmp_path}/README.md".split())
    assert isinstance(result.exception, SensorfuseError)
    assert "has no lines" in str(result.exception)


@pytest.mark.parametrize("command", ["accuracy", "robustness", "streaming-accuracy", "activity"])
def test_every_evaluation_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, ["eval", command, "--help"])
    assert result.exit_code == 0
    assert f"Example: sensorfuse eval {command}" in result.output
