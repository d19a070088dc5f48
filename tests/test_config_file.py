"""The configuration file and STEMSPLIT_*: who wins, and what is refused."""

from __future__ import annotations

import inspect
from typing import Annotated

import pytest
import typer

from stemsplit.cli import config_file
from stemsplit.cli.app import app, run
from stemsplit.cli.config_file import ConfigurableCommand, config_path, variable_name
from stemsplit.cli.errors import exit_code_of
from stemsplit.cli.separate import separate

GOT: dict[str, object] = {}


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Write the configuration file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def write(text):
        config_path().parent.mkdir(parents=True, exist_ok=True)
        config_path().write_text(text)

    return write


@pytest.fixture
def command():
    """Run a command that has options of every type; give what it got."""

    def separate(
        songs: Annotated[list[str], typer.Argument()],
        output: Annotated[str, typer.Option("--output", "-o")],
        bit_depth: Annotated[str, typer.Option("--bit-depth", "-b")] = "source",
        segment: Annotated[float, typer.Option("--segment")] = 10.0,
        jobs: Annotated[int | None, typer.Option("-j", "--jobs")] = None,
        stems: Annotated[list[str] | None, typer.Option("--stems")] = None,
        soft: Annotated[bool, typer.Option("--soft/--hard")] = False,
    ) -> None:
        GOT.update(locals())

    def watch(
        folder: str,
        output: Annotated[str, typer.Option("--output", "-o")],
        jobs: Annotated[int | None, typer.Option("-j", "--jobs")] = None,
        settle: Annotated[float, typer.Option("--settle")] = 2.0,
    ) -> None:
        GOT.update(locals())

    bench = typer.Typer()
    for function in (separate, watch):
        bench.command(cls=ConfigurableCommand)(function)

    def call(*arguments):
        GOT.clear()
        code = exit_code_of(lambda: bench(list(arguments), standalone_mode=False))
        return GOT if code == 0 else code

    return call


def test_the_place_of_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_path() == tmp_path / "stemsplit" / "config.toml"
    monkeypatch.setenv("HOME", str(tmp_path))
    for unusable in ("", "relative/folder"):
        monkeypatch.setenv("XDG_CONFIG_HOME", unusable)
        assert config_path() == tmp_path / ".config" / "stemsplit" / "config.toml"


def test_who_wins(command, config, monkeypatch):
    line = ("separate", "song", "-o", "out")
    assert command(*line)["segment"] == 10
    config("segment = 5")
    assert command(*line)["segment"] == 5
    assert command(*line, "--no-config")["segment"] == 10
    monkeypatch.setenv("STEMSPLIT_SEGMENT", "4")
    assert command(*line)["segment"] == 4
    assert command(*line, "--no-config")["segment"] == 4
    assert command(*line, "--segment", "3")["segment"] == 3


def test_every_type_and_a_required_option(command, config, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config(
        'output = "~/Stems"\nbit-depth = "24"\nsegment = 5.5\njobs = 2\n'
        'stems = ["vocals", "drums"]\nsoft = true\n'
    )
    got = command("separate", "song")
    assert got == {
        "songs": ["song"],
        "output": str(tmp_path / "Stems"),
        "bit_depth": "24",
        "segment": 5.5,
        "jobs": 2,
        "stems": ["vocals", "drums"],
        "soft": True,
    }
    assert command("separate", "song", "--hard")["soft"] is False


def test_variables_of_every_type(command, config, monkeypatch):
    config("")
    for name, value in {"OUTPUT": "out", "BIT_DEPTH": "16", "JOBS": "3", "SOFT": "1"}.items():
        monkeypatch.setenv(f"STEMSPLIT_{name}", value)
    got = command("separate", "song")
    assert (got["output"], got["bit_depth"], got["jobs"], got["soft"]) == ("out", "16", 3, True)


def test_a_command_takes_the_shared_keys_it_has_and_its_own_table(command, config):
    config('output = "out"\nbit-depth = "16"\njobs = 2\n[watch]\nsettle = 1\njobs = 4\n')
    got = command("watch", "folder")
    assert got == {"folder": "folder", "output": "out", "jobs": 4, "settle": 1.0}
    assert command("separate", "song")["jobs"] == 2


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("bit_depth = 16", 2, "got bit_depth; did you mean bit-depth?"),
        ("colour = 1", 2, "got colour; see stemsplit separate --help"),
        ("settle = 1", 2, "unknown key in "),
        ("hard = true", 2, "got hard; write soft = false"),
        ("[watch]\ncolour = 1", 2, "got colour; see stemsplit watch --help"),
        ("[watch]\nsegment = 1", 2, "config.toml [watch]: got segment"),
        ("watch = 1", 2, "got 1, wanted [watch]"),
        ('segment = "ten"', 2, "bad segment in "),
        ("bit-depth = 16", 2, "got 16, wanted a string"),
        ("jobs = true", 2, "got True, wanted a whole number"),
        ("jobs = 1.5", 2, "got 1.5, wanted a whole number"),
        ("soft = 1", 2, "got 1, wanted true or false"),
        ("stems = [1]", 2, "got 1, wanted a string"),
        ("segment = ", 66, "wanted TOML; correct it, or pass --no-config"),
    ],
)
def test_what_is_refused(command, config, capfd, text, code, message):
    config(text)
    assert command("separate", "song", "-o", "out") == code
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert message in err
    assert str(config_path()) in err
    assert isinstance(command("separate", "song", "-o", "out", "--no-config"), dict)


def test_a_bad_variable_is_named(command, config, monkeypatch, capfd):
    config("")
    monkeypatch.setenv("STEMSPLIT_SEGMENT", "ten")
    assert command("separate", "song", "-o", "out") == 2
    line = capfd.readouterr().err
    assert "(from STEMSPLIT_SEGMENT)" in line
    assert "; see " in line
    assert command("separate", "song", "-o", "out", "--segment", "ten") == 2
    assert "STEMSPLIT" not in capfd.readouterr().err


def test_help_says_the_rule_and_not_each_variable(capfd):
    assert run(["separate", "--help"]) == 0
    out = capfd.readouterr().out
    assert "config.toml" in out
    assert out.count("STEMSPLIT_") == 1


def test_every_option_of_separate_has_a_variable_and_a_key():
    commands = config_file.configurable_commands(typer.main.get_command(app))
    options = commands["separate"].options()
    taken = {option.name for option in options.values()}
    assert taken == set(inspect.signature(separate).parameters) - {"songs", "context"}
    for key, option in options.items():
        assert option.envvar == variable_name(key)


def test_the_command_reads_it(config, capfd, write_song):
    config('device = "gpu"\noutput = "out"')
    assert run([str(write_song(seconds=0.1))]) == 2
    assert "got gpu" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "line", "files"),
    [
        ('stems = "vocals,drums"', ("--two-stems", "vocals"), ["no_vocals.wav", "vocals.wav"]),
        ('two-stems = "vocals"', ("--stems", "bass"), ["bass.wav"]),
        ('two-stems = "vocals"\nresidual = true', ("--stems", "bass"), ["bass.wav"]),
        ('bit-depth = "float32"\nclip = "float"\nstems = "bass"', ("-f", "flac"), ["bass.flac"]),
        ('format = "mp3"\nstems = "bass"', ("--bit-depth", "24"), ["bass.wav"]),
        ('filename = "{stem}.aiff"\nstems = "bass"', ("-f", "flac"), ["bass.flac"]),
        ('format = "mp3"\nbitrate = 320\nstems = "bass"', ("--clip", "float"), ["bass.wav"]),
    ],
)
def test_what_contradicts_the_command_line_yields(
    config, write_song, random_model, tmp_path, text, line, files
):
    config(text)
    song = str(write_song(seconds=0.1))
    assert run([song, "-o", str(tmp_path / "out"), "-m", str(random_model), "-q", *line]) == 0
    written = [path for path in (tmp_path / "out").rglob("*.*") if ".stemsplit" not in path.parts]
    assert sorted(path.name for path in written) == files


def test_what_contradicts_a_variable_yields_to_it(
    config, write_song, random_model, monkeypatch, capfd
):
    config('stems = "vocals"\nreport = true\nskip-existing = true\njson = true')
    monkeypatch.setenv("STEMSPLIT_TWO_STEMS", "bass")
    song, model = str(write_song(seconds=0.1)), str(random_model)
    assert run(["info", song, "--json", "-m", model]) == 0
    assert '"no_bass"' in capfd.readouterr().out
    assert run([song, "-o", "-", "--stems", "drums", "-m", model]) == 0
    assert capfd.readouterr().out.startswith("RIFF")


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", ("--bitrate", "320"), "--bitrate is for MP3: got --format wav"),
        ("bitrate = 320", (), "--bitrate is for MP3 (from {}): got --format wav"),
        ("", ("--filename", "{track}_{stem}"), "bad --filename: got {{track}}_{{stem}}, wanted ."),
        ('filename = "{track}.{ext}"', (), "bad --filename (from {}): got {{track}}.{{ext}}"),
        ('filename = "{stem}.{ext}"', ("x.wav",), "share their files' names (from {}): got --file"),
        ("force = true\nskip-existing = true", (), "--force skips nothing (from {}): got --skip"),
    ],
)
def test_what_is_wrong_beside_defaults(
    config, write_song, random_model, tmp_path, capfd, text, line, told
):
    config(text)
    song = str(write_song(seconds=0.1))
    assert run([song, "-o", str(tmp_path / "out"), "-m", str(random_model), *line]) == 2
    assert told.format(config_path()) in capfd.readouterr().err


def test_what_yields_is_told(config, write_song, random_model, tmp_path, capfd):
    config('bit-depth = "float32"\nforce = true')
    song, out = str(write_song(seconds=0.1)), str(tmp_path / "out")
    line = [song, "-o", out, "-m", str(random_model)]
    assert run([*line, "-f", "flac"]) == 0
    reason = "--format flac cannot hold floats"
    assert f"--bit-depth of {config_path()} is left out: {reason}\n" in capfd.readouterr().err
    assert run([*line, "-f", "flac", "--skip-existing"]) == 0
    assert "done before, skipped" in capfd.readouterr().err


def test_contradictions_of_one_place_are_told_with_it(config, write_song, capfd, monkeypatch):
    config('stems = "vocals"\ntwo-stems = "bass"')
    song = str(write_song(seconds=0.1))
    assert run([song, "-o", "out"]) == 2
    line = capfd.readouterr().err
    assert f"goes with neither --stems nor --residual (from {config_path()})" in line
    config('format = "wma"')
    assert run([song, "-o", "out"]) == 2
    assert f"bad --format (from {config_path()}): got wma" in capfd.readouterr().err
    monkeypatch.setenv("STEMSPLIT_FORMAT", "wmv")
    assert run([song, "-o", "out"]) == 2
    assert "bad --format (from STEMSPLIT_FORMAT): got wmv" in capfd.readouterr().err


def test_a_home_that_is_not_there(config, capfd, write_song):
    config('output = "~nobody-of-that-name/x"')
    assert run([str(write_song(seconds=0.1))]) == 2
    assert "got ~nobody-of-that-name/x, wanted a home that there is" in capfd.readouterr().err
