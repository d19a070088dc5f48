"""The REAPER script, run by Lua against a stub of REAPER."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from lupa import lua53, lua54

from reaper_stub import SETTINGS, Reaper, Window
from stemsplit.cli.app import run

SCRIPT = Path(__file__).parent.parent / "hooks" / "reaper" / "stemsplit.lua"


@pytest.fixture(params=[lua53, lua54], ids=["Lua 5.3", "Lua 5.4"])
def lua(request):
    return request.param.LuaRuntime(unpack_returned_tuples=True)


@pytest.fixture
def reaper(tmp_path):
    return Reaper(tmp_path / "My project")


@pytest.fixture
def play(lua, reaper):
    """Run the script, and then what it defers, for so many rounds at most."""

    def play(rounds=3):
        lua.globals().reaper = reaper
        lua.globals().gfx = Window(reaper)
        lua.execute(SCRIPT.read_text(encoding="utf-8"))
        for _ in range(rounds):
            if not reaper.deferred:
                return
            reaper.deferred.pop(0)()

    return play


def stems_written(names, **song):
    """Give what stemsplit does: stems, the document, and the exit code last."""

    def start(folder):
        outputs = {}
        for name in names:
            path = folder / "mixture" / f"{name}.wav"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"RIFF")
            outputs[name] = str(path)
        facts = {"status": "done", "outputs": outputs, "error": None, **song}
        (folder / "stdout").write_text(json.dumps({"schema": 1, "songs": [facts]}, indent=1))
        (folder / "stderr").write_text("")
        (folder / "exit-code").write_text("0\n")

    return start


NAMES = ["vocals", "drums", "bass", "other"]


@pytest.fixture
def item(reaper):
    """Select an item on the first of two tracks."""
    track = reaper.add_track(name="song")
    reaper.add_track(name="below")
    item = reaper.add_item(track, D_POSITION=3.5, D_LENGTH=4.25, take={"name": "Übung 1"})
    reaper.selected = [item]
    return item


def names_of(reaper):
    return [track["name"] for track in reaper.tracks]


def test_an_item(reaper, item, play):
    reaper.on_start = stems_written(NAMES)
    play()
    assert reaper.messages == []
    assert names_of(reaper) == ["song", *NAMES, "below"]
    for track in reaper.tracks[1:5]:
        (stem,) = track["items"]
        assert (stem["D_POSITION"], stem["D_LENGTH"], stem["B_LOOPSRC"]) == (3.5, 4.25, 0)
        assert stem["take"]["name"] == f"Übung 1 - {track['name']}"
        assert stem["take"]["source"]["path"].endswith(f"{track['name']}.wav")
        assert "B_MUTE" not in track
    assert item["B_MUTE"] == 1
    assert reaper.undo == ["begin", "Separate Übung 1 into stems"]
    assert reaper.windows == 0


@pytest.mark.usefixtures("item")
def test_with_stemsplit_itself(reaper, play, write_song, random_model, monkeypatch, tmp_path):
    monkeypatch.setenv("STEMSPLIT_MODEL", str(random_model))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def start(folder):
        write_song(seconds=0.2).replace(folder / "mixture.wav")
        assert run(shlex.split(reaper.commands[-1])[1:]) == 0

    reaper.on_start = start
    play()
    assert reaper.messages == []
    assert names_of(reaper) == ["song", *NAMES, "below"]
    for track in reaper.tracks[1:5]:
        assert Path(track["items"][0]["take"]["source"]["path"]).stat().st_size > 10_000


@pytest.mark.usefixtures("item")
def test_what_is_rendered_and_the_user_s_settings(reaper, play):
    reaper.on_start = stems_written(NAMES)
    play()
    rendered = reaper.rendered
    assert (rendered["RENDER_SETTINGS"], rendered["RENDER_BOUNDSFLAG"]) == (32, 4)
    assert rendered["RENDER_SRATE"] == rendered["RENDER_TAILFLAG"] == 0
    assert rendered["RENDER_ADDTOPROJ"] == rendered["RENDER_NORMALIZE"] == 0
    assert reaper.settings == SETTINGS


@pytest.mark.usefixtures("item")
def test_the_command(reaper, play):
    reaper.on_start = stems_written(NAMES)
    play()
    program, capture, folder, *rest = shlex.split(reaper.commands[-1])
    assert (program, capture) == ("/opt/stem split/stemsplit", "--capture")
    assert Path(folder).parent == reaper.folder / "stems"
    mixture = f"{folder}/mixture.wav"
    options = ["-f", "wav", "--json", "--quiet", "--nice"]
    assert rest == ["separate", mixture, "-o", folder, *options]


def test_a_time_selection(reaper, play):
    reaper.add_track(name="a")
    reaper.time_selection = (1.0, 5.25)
    reaper.on_start = stems_written(["bass", "vocals", "residual", "guitar"])
    play()
    assert names_of(reaper) == ["a", "vocals", "bass", "guitar", "residual"]
    assert all(track["B_MUTE"] == 1 for track in reaper.tracks[1:])
    assert reaper.tracks[1]["items"][0]["D_POSITION"] == 1.0
    assert (reaper.rendered["RENDER_SETTINGS"], reaper.rendered["RENDER_BOUNDSFLAG"]) == (0, 2)


@pytest.mark.usefixtures("item")
def test_the_last_track_of_a_folder(reaper, play):
    reaper.tracks[0]["I_FOLDERDEPTH"] = -2.0
    reaper.on_start = stems_written(NAMES)
    play()
    assert [track["I_FOLDERDEPTH"] for track in reaper.tracks] == [0, 0, 0, 0, -2, 0]


@pytest.mark.usefixtures("item")
def test_the_stems_sound_where_and_as_loud_as_the_item(reaper, play):
    mixer = {"D_VOL": 0.5, "D_PAN": -0.3, "I_SOLO": 2.0}
    reaper.tracks[0] |= mixer
    reaper.on_start = stems_written(NAMES)
    play()
    for track in reaper.tracks[1:5]:
        assert {key: track[key] for key in mixer} == mixer


def test_another_project_that_is_in_front_when_the_stems_are_there(reaper, item, play):
    def start(folder):
        stems_written(NAMES)(folder)
        reaper.projects["second"] = [{"name": "not this one"}]
        reaper.project = "second"

    reaper.on_start = start
    play()
    assert reaper.messages == []
    assert reaper.project == "second"
    assert names_of(reaper) == ["not this one"]
    reaper.project = "first"
    assert names_of(reaper) == ["song", *NAMES, "below"]
    assert item["B_MUTE"] == 1


@pytest.mark.usefixtures("item")
def test_a_project_that_is_closed_meanwhile(reaper, play):
    def start(folder):
        stems_written(NAMES)(folder)
        reaper.projects = {"second": []}
        reaper.project = "second"

    reaper.on_start = start
    play()
    (message,) = reaper.messages
    assert message.startswith("The project is closed; its stems are in ")
    assert message.endswith(str(next((reaper.folder / "stems").iterdir())))
    assert reaper.tracks == []


def test_a_track_that_is_gone_meanwhile(reaper, item, play):
    def start(folder):
        stems_written(NAMES)(folder)
        del reaper.tracks[0]

    reaper.on_start = start
    play()
    assert names_of(reaper) == ["below", *NAMES]
    assert "B_MUTE" not in item


@pytest.mark.usefixtures("item")
def test_it_does_not_freeze_reaper(reaper, play):
    started = []
    reaper.on_start = started.append
    play(rounds=5)
    assert len(reaper.deferred) == 1  # it has looked, and waits to be called again
    assert reaper.windows == 1
    stems_written(NAMES)(started[0])
    reaper.deferred.pop()()
    assert names_of(reaper) == ["song", *NAMES, "below"]


@pytest.mark.parametrize("key", [27, -1])
@pytest.mark.usefixtures("item")
def test_the_user_does_not_wait(reaper, play, key):
    reaper.keys = [0, key]
    play()
    assert reaper.deferred == []
    assert reaper.windows == 0
    assert names_of(reaper) == ["song", "below"]


@pytest.mark.parametrize(
    ("stdout", "stderr", "message"),
    [
        ("", "stemsplit: error: no space left\n", "no space left"),
        ('{"songs": [', "", "It has given no stems."),
        ("", "", "It has given no stems."),
        (
            json.dumps(
                {"songs": [{"status": "failed", "outputs": {}, "error": {"message": "né"}}]}
            ),
            "something",
            "né",
        ),
    ],
)
@pytest.mark.usefixtures("item")
def test_a_failure_is_shown(reaper, play, stdout, stderr, message):
    def start(folder):
        (folder / "stdout").write_text(stdout)
        (folder / "stderr").write_text(stderr)
        (folder / "exit-code").write_text("73\n")

    reaper.on_start = start
    play()
    assert reaper.messages == [message]
    assert names_of(reaper) == ["song", "below"]
    assert reaper.undo == []


@pytest.mark.usefixtures("item")
def test_a_stem_that_cannot_be_read_undoes_everything(reaper, play):
    def start(folder):
        stems_written(NAMES)(folder)
        (folder / "mixture" / "drums.wav").unlink()

    reaper.on_start = start
    play()
    assert "cannot read" in reaper.messages[0]
    assert reaper.undone == 1


@pytest.mark.usefixtures("item")
def test_nothing_rendered(reaper, play):
    reaper.renders = False
    play()
    assert reaper.messages == ["REAPER has rendered nothing."]
    assert reaper.settings == SETTINGS


def test_nothing_to_separate(reaper, play):
    play()
    assert reaper.messages == ["Select an item, or make a time selection."]


def test_what_cannot_be_separated(reaper, item, play):
    item["take"]["midi"] = True
    play()
    reaper.selected = [item, item]
    play()
    assert reaper.messages == [
        "The selected item holds no audio.",
        "Select one item, or none and a time selection.",
    ]


@pytest.mark.usefixtures("item")
def test_the_program_is_asked_for_once(reaper, play):
    reaper.state = {}
    reaper.typed = ['bad"quote', ' "/opt/stem split/stemsplit" ']
    reaper.on_start = stems_written(NAMES)
    play()
    assert reaper.asked == 2
    assert reaper.questions[1] == "No stemsplit answers there: its path"
    assert reaper.state == {"program": "/opt/stem split/stemsplit"}
    assert names_of(reaper) == ["song", *NAMES, "below"]


@pytest.mark.usefixtures("item")
def test_the_question_is_cancelled(reaper, play):
    reaper.state = {"program": "elsewhere"}
    play()
    assert reaper.rendered == {}
    assert reaper.messages == []


def test_names_that_are_no_text(lua):
    source = SCRIPT.read_text(encoding="utf-8").removesuffix("main()\n") + "return parse_value"
    lua.globals().reaper = None
    check = lua.eval("function(parse, text) return (parse(text, 1)) == 'a\\x80b' end")
    assert check(lua.execute(source), json.dumps("a\udc80b"))


@pytest.mark.parametrize(
    "document",
    [
        {"a": [1, -2.5e3, True, False, {"b": "c"}, [[2]]], "d": {}},
        {"a": 'ü "quoted" \\ / \n\t 🎵'},
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json(lua, document, ascii_only):
    source = SCRIPT.read_text(encoding="utf-8").removesuffix("main()\n") + "return parse_value"
    lua.globals().reaper = None
    parsed, _ = lua.execute(source)(json.dumps(document, indent=1, ensure_ascii=ascii_only), 1)
    assert plain(parsed) == document


def plain(value):
    """Turn Lua's tables into what JSON has; an empty one can be either."""
    if not hasattr(value, "items"):
        return value
    entries = {key: plain(item) for key, item in value.items()}
    if entries and all(isinstance(key, int) for key in entries):
        return [entries[key] for key in sorted(entries)]
    return entries
