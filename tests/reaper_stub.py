"""A stub of REAPER that keeps tracks, items and settings, for test_reaper."""

# ruff: noqa: N802
from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

SETTINGS = {
    "RENDER_SETTINGS": 1.0, "RENDER_BOUNDSFLAG": 1.0, "RENDER_CHANNELS": 6.0,
    "RENDER_SRATE": 22_050.0, "RENDER_TAILFLAG": 255.0, "RENDER_ADDTOPROJ": 1.0,
    "RENDER_DITHER": 3.0, "RENDER_NORMALIZE": 1.0, "RENDER_FILE": "/mine",
    "RENDER_PATTERN": "$project", "RENDER_FORMAT": "mine", "RENDER_FORMAT2": "too",
}  # fmt: skip


class Reaper:
    """As much of REAPER as the script uses. Tracks and items are dictionaries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.projects: dict[str, list[dict[str, Any]]] = {"first": []}
        self.project = "first"  # the tab in front
        self.selected: list[dict[str, Any]] = []
        self.time_selection = (0.0, 0.0)
        self.settings = dict(SETTINGS)
        self.rendered: dict[str, Any] = {}
        self.messages: list[str] = []
        self.undo: list[str] = []
        self.undone = 0
        self.state = {"program": "/opt/stem split/stemsplit"}
        self.typed: list[str] = []
        self.asked = 0
        self.questions: list[str] = []
        self.deferred: list[Any] = []
        self.commands: list[str] = []
        self.keys: list[int] = []
        self.windows = 0
        self.on_start = lambda _folder: None
        self.renders = True
        self.seconds = 12.5

    @property
    def tracks(self) -> list[dict[str, Any]]:
        return self.projects[self.project]

    def add_track(self, **facts: Any) -> dict[str, Any]:
        mixer = {"D_VOL": 1.0, "D_PAN": 0.0, "I_SOLO": 0.0}
        track = {"items": [], "I_FOLDERDEPTH": 0.0, **mixer, **facts}
        self.tracks.append(track)
        return track

    def add_item(self, track: dict[str, Any], **facts: Any) -> dict[str, Any]:
        item = {"track": track, "take": {"name": "take"}, **facts}
        track["items"].append(item)
        return item

    # What the script calls, by REAPER's names.

    def EnumProjects(self, index):
        assert index == -1
        return self.project, f"/{self.project}.rpp"

    def SelectProjectInstance(self, project):
        self.project = project

    def ValidatePtr(self, project, kind):
        assert kind == "ReaProject*"
        return project in self.projects

    def ShowMessageBox(self, text, _title, _kind):
        self.messages.append(text)

    def GetExtState(self, _section, key):
        return self.state.get(key, "")

    def SetExtState(self, _section, key, value, _keep):
        self.state[key] = value

    def GetUserInputs(self, _title, _count, captions, _values):
        self.asked += 1
        self.questions.append(captions.split(",")[0])
        return (True, self.typed.pop(0)) if self.typed else (False, "")

    def CountSelectedMediaItems(self, _project):
        return len(self.selected)

    def GetSelectedMediaItem(self, _project, index):
        return self.selected[index]

    def GetActiveTake(self, item):
        return item["take"]

    def TakeIsMIDI(self, take):
        return take.get("midi", False)

    def GetTakeName(self, take):
        return take["name"]

    def GetMediaItem_Track(self, item):
        return item["track"]

    def GetMediaItemInfo_Value(self, item, key):
        return item[key]

    def SetMediaItemInfo_Value(self, item, key, value):
        item[key] = value

    def GetSet_LoopTimeRange(self, *_):
        return self.time_selection

    def GetSetProjectInfo(self, _project, key, value, put):
        if put:
            self.settings[key] = value
        return self.settings[key]

    def GetSetProjectInfo_String(self, _project, key, value, put):
        if put:
            self.settings[key] = value
        return True, self.settings[key]

    def Main_OnCommand(self, number, _flag):
        if number == 42230:
            self.rendered = dict(self.settings)
            if self.renders:
                (Path(self.settings["RENDER_FILE"]) / "mixture.wav").write_bytes(b"RIFF")

    def file_exists(self, path):
        return Path(path).is_file()

    def GetProjectPath(self, _buffer):
        return str(self.folder)

    def RecursiveCreateDirectory(self, path, _flag):
        Path(path).mkdir(parents=True)

    def ExecProcess(self, line, timeout):
        self.commands.append(line)
        if line.endswith("--version"):
            known = line == '"/opt/stem split/stemsplit" --version'
            return "0\nstemsplit 1.0\n" if known else None
        assert timeout == -2
        self.on_start(Path(shlex.split(line)[2]))
        return "0"

    def time_precise(self):
        self.seconds += 0.37
        return self.seconds

    def defer(self, function):
        self.deferred.append(function)

    def CountTracks(self, _project):
        return len(self.tracks)

    def GetTrack(self, _project, index):
        return self.tracks[int(index)]

    def InsertTrackAtIndex(self, index, _defaults):
        self.tracks.insert(int(index), {"items": [], "I_FOLDERDEPTH": 0.0})

    def ValidatePtr2(self, _project, thing, kind):
        if kind == "MediaTrack*":
            return any(thing is track for track in self.tracks)
        return any(thing is item for track in self.tracks for item in track["items"])

    def GetMediaTrackInfo_Value(self, track, key):
        if key == "IP_TRACKNUMBER":
            return float([track is other for other in self.tracks].index(True) + 1)
        return track[key]

    def SetMediaTrackInfo_Value(self, track, key, value):
        track[key] = value

    def GetSetMediaTrackInfo_String(self, track, _key, value, _put):
        track["name"] = value

    def AddMediaItemToTrack(self, track):
        return self.add_item(track)

    def AddTakeToMediaItem(self, item):
        item["take"] = {}
        return item["take"]

    def PCM_Source_CreateFromFile(self, path):
        return {"path": path} if Path(path).is_file() else None

    def SetMediaItemTake_Source(self, take, source):
        take["source"] = source

    def GetSetMediaItemTakeInfo_String(self, take, _key, value, _put):
        take["name"] = value

    def GetMediaSourceLength(self, _source):
        return 4.25, False

    def Undo_BeginBlock2(self, _project):
        self.undo.append("begin")

    def Undo_EndBlock2(self, _project, name, _flags):
        self.undo.append(name)

    def Undo_DoUndo2(self, _project):
        self.undone += 1

    def PreventUIRefresh(self, _count):
        pass

    def TrackList_AdjustWindows(self, _minor):
        pass

    def UpdateArrange(self):
        pass


class Window:
    """As much of REAPER's gfx as the script uses."""

    def __init__(self, reaper: Reaper) -> None:
        self.reaper = reaper
        self.x = self.y = 0

    def init(self, *_):
        self.reaper.windows += 1

    def quit(self):
        self.reaper.windows -= 1

    def getchar(self):
        return self.reaper.keys.pop(0) if self.reaper.keys else 0

    def setfont(self, *_):
        pass

    def drawstr(self, _text):
        pass

    def update(self):
        pass
