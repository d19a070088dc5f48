"""Evaluation of whole collections, from folders of audio to the table and the JSON file."""

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner

import stemsplit.cli.app as cli
import stemsplit.cli.evaluate as command
from stemsplit import dsp, metrics
from stemsplit.config import SOURCES, StftSettings
from stemsplit.errors import InputError, MissingExtraError, ModelError, OutputError
from stemsplit.evaluate import (
    METRICS,
    PAPER_MASK_ACCURACY,
    PAPER_RANGES,
    Evaluation,
    TrackScores,
    evaluate,
)
from stemsplit.models import read_card

SETTINGS = StftSettings(sample_rate=8000, n_fft=256, hop_length=64)
BINS = 65
ROWS = ["mixture", "ideal_binary_mask", "ideal_ratio_mask", "model_hard"]


def _stft(signal):
    """Compute the spectrum in float64 with nothing of the package: (channels, frames, bins)."""
    n_fft, hop = SETTINGS.n_fft, SETTINGS.hop_length
    padded = np.pad(signal.astype(float), ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=1)[:, ::hop]
    return np.fft.rfft(frames * _window())


def _istft(spec, samples):
    n_fft, hop = SETTINGS.n_fft, SETTINGS.hop_length
    frames = np.fft.irfft(spec) * _window()
    total = np.zeros((len(spec), n_fft + hop * (spec.shape[1] - 1)))
    weight = np.zeros(total.shape[1])
    for index in range(spec.shape[1]):
        part = slice(index * hop, index * hop + n_fft)
        total[:, part] += frames[:, index]
        weight[part] += _window() ** 2
    inner = slice(n_fft // 2, n_fft // 2 + samples)
    return total[:, inner] / weight[inner]


def _window():
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SETTINGS.n_fft) / SETTINGS.n_fft)


class FakeSeparator:
    """A model that predicts 0.75 for vocals and 0.125 for the rest, whatever it hears."""

    name = "fake"
    parameters = 1234
    device = "cpu"
    card = SimpleNamespace(sources=("drums", "vocals", "other", "bass"), soft=False)

    def __init__(self, _model="fake", _device="cpu", *, channels=1, precision="auto", shifts=1):
        assert (precision, shifts) == ("auto", 1)
        self.settings = SETTINGS
        self.channels = channels
        self.heard = []

    def predict(self, audio, sample_rate):
        self.heard.append((audio.shape, sample_rate))
        spec = dsp.stft(np.ascontiguousarray(audio), SETTINGS.n_fft, SETTINGS.hop_length)
        probabilities = np.full((4, self.channels, spec.shape[1], BINS), 0.125, np.float32)
        probabilities[self.card.sources.index("vocals")] = 0.75
        return SimpleNamespace(spec=spec, probabilities=probabilities)

    def separate(self, audio, _sample_rate, soft=False):
        shares = (0.75, 0.125, 0.125, 0.125) if soft else (1, 0, 0, 0)
        stems = {
            source: np.float32(share) * audio for source, share in zip(SOURCES, shares, strict=True)
        }
        return SimpleNamespace(stems=stems)


def _song(seed, seconds=1.5, rate=8000):
    """Four stems that overlap a little in frequency: float32 (4, 2, samples)."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    tones = [np.sin(2 * np.pi * pitch * time) for pitch in (330, 1200, 110, 2500)]
    stems = np.array(tones)[:, None] * rng.uniform(0.05, 0.2, (4, 2, 1))
    return (stems + 0.01 * rng.standard_normal(stems.shape)).astype(np.float32)


def _write(folder, stems, rate=8000):
    folder.mkdir(parents=True)
    for source, stem in zip(SOURCES, stems, strict=True):
        if stem is not None:
            soundfile.write(folder / f"{source}.wav", stem.T, rate, subtype="FLOAT")


@pytest.fixture
def collection(tmp_path):
    for seed, name in enumerate(["a song", "another"]):
        _write(tmp_path / "songs" / name, _song(seed))
    return tmp_path / "songs"


def test_every_row_source_and_metric_is_there(collection):
    result = evaluate(collection, FakeSeparator(), soft=True)
    assert [track.name for track in result.tracks] == ["a song", "another"]
    for track in result.tracks:
        assert track.seconds == 1.5
        assert list(track.rows) == [*ROWS, "model_soft"]
        for sources in track.rows.values():
            assert list(sources) == list(SOURCES)
            for scores in sources.values():
                assert list(scores) == list(METRICS)
    assert (result.model, result.parameters, result.settings) == ("fake", 1234, SETTINGS)
    assert (result.mask_bins, result.mask_downmix) == (BINS, True)


def test_the_mixture_is_scored_as_every_source(collection):
    stems = _song(0)
    row = evaluate(collection, FakeSeparator()).tracks[0].rows["mixture"]
    for source, stem in zip(SOURCES, stems, strict=True):
        for metric in ("si_sdr", "sdr", "snr"):
            expected = getattr(metrics, metric)(stem, stems.sum(axis=0))
            assert row[source][metric] == expected


@pytest.mark.parametrize("channels", [1, 2])
def test_masks_are_scored_on_the_model_s_grid(collection, channels):
    stems = _song(0)
    rows = evaluate(collection, FakeSeparator(channels=channels)).tracks[0].rows
    spectra = np.array([_stft(stem)[..., :BINS] for stem in stems])
    for index, source in enumerate(SOURCES):
        rest = np.sum(spectra, axis=0) - spectra[index]
        power, other = np.abs(spectra[index]) ** 2, np.abs(rest) ** 2
        if channels == 1:
            power, other = power.mean(axis=0), other.mean(axis=0)
        ones = np.mean(power > other)
        value = 0.75 if source == "vocals" else 0.125
        mse = ones * (1 - value) ** 2 + (1 - ones) * value**2
        accuracy = ones if source == "vocals" else 1 - ones
        # A bin on the edge may fall to the other side in float32: one of 189 × 65, at most two.
        assert rows["model_hard"][source]["mask_accuracy"] == pytest.approx(accuracy, abs=2e-4)
        assert rows["model_hard"][source]["mask_mse"] == pytest.approx(mse, abs=2e-4)
        assert rows["mixture"][source]["mask_accuracy"] == pytest.approx(ones, abs=2e-4)
        assert rows["ideal_binary_mask"][source]["mask_accuracy"] == 1
        assert rows["ideal_binary_mask"][source]["mask_mse"] == 0


def test_ideal_masks_are_those_of_an_independent_reference(collection):
    stems = _song(1)
    rows = evaluate(collection, FakeSeparator()).tracks[1].rows
    spectra = np.array([_stft(stem) for stem in stems])
    mixture = spectra.sum(axis=0)
    shares = np.abs(spectra) ** 2 / np.sum(np.abs(spectra) ** 2, axis=0)
    for index, source in enumerate(SOURCES):
        binary = np.abs(spectra[index]) > np.abs(mixture - spectra[index])
        for row, mask in (("ideal_binary_mask", binary), ("ideal_ratio_mask", shares[index])):
            estimate = _istft(mask * mixture, stems.shape[-1])
            # float32 transforms, and at most a few bins on the edge of the binary mask.
            expected = metrics.snr(stems[index].astype(float), estimate)
            assert rows[row][source]["snr"] == pytest.approx(expected, abs=0.01)


def test_the_model_s_stems_are_scored_hard_and_soft(collection):
    stems = _song(0)
    rows = evaluate(collection, FakeSeparator(), soft=True).tracks[0].rows
    mixture = stems.sum(axis=0)
    assert rows["model_hard"]["vocals"]["snr"] == metrics.snr(stems[0], mixture)
    assert rows["model_soft"]["vocals"]["snr"] == metrics.snr(stems[0], np.float32(0.75) * mixture)
    assert rows["model_hard"]["bass"]["snr"] == 0  # silence
    assert math.isnan(rows["model_hard"]["bass"]["si_sdr"])


def test_museval_s_sdr_of_one_second_is_the_snr_of_that_second(collection):
    stems = _song(0)[..., :8000]
    row = evaluate(collection, FakeSeparator()).tracks[0].rows["mixture"]
    for source, stem in zip(SOURCES, stems, strict=True):
        expected = metrics.snr(stem, _song(0).sum(axis=0)[:, :8000])
        assert row[source]["museval_sdr"] == pytest.approx(expected, abs=1e-6)


def test_without_museval(collection, monkeypatch):
    monkeypatch.setattr("stemsplit.bsseval.require_museval", _missing)
    result = evaluate(collection, FakeSeparator(), museval=False)
    assert result.figure("mixture", "vocals", "museval_sdr").count == 0
    with pytest.raises(MissingExtraError):
        evaluate(collection, FakeSeparator())


def _missing():
    raise MissingExtraError("museval is not installed")


def test_a_silent_stem_and_an_absent_one(tmp_path):
    stems = list(_song(0))
    stems[2] = 0 * stems[2]
    stems[3] = None
    _write(tmp_path / "song", stems)
    scores = evaluate(tmp_path, FakeSeparator()).tracks[0].rows["model_hard"]
    assert math.isfinite(scores["vocals"]["museval_sdr"])
    for metric in ("si_sdr", "sdr", "snr", "museval_sdr"):
        assert math.isnan(scores["bass"][metric])
    assert scores["bass"]["mask_accuracy"] == 1  # nothing to find, nothing found
    assert all(math.isnan(value) for value in scores["other"].values())


def test_tracks_are_brought_to_the_model_s_rate(tmp_path):
    _write(tmp_path / "song", _song(0, rate=16000), rate=16000)
    separator = FakeSeparator()
    result = evaluate(tmp_path, separator)
    assert separator.heard == [((2, 12000), 8000)]
    assert result.tracks[0].seconds == 1.5
    assert result.figure("ideal_ratio_mask", "vocals", "snr").value > 15


def test_a_mono_track(tmp_path):
    _write(tmp_path / "song", _song(0)[:, :1])
    result = evaluate(tmp_path, FakeSeparator())
    assert result.figure("ideal_binary_mask", "drums", "snr").value > 10


def test_a_mono_mixture_of_stereo_stems(tmp_path):
    stems = _song(0)
    _write(tmp_path / "song", stems)
    mixture = stems.mean(axis=1).sum(axis=0)
    soundfile.write(tmp_path / "song" / "mixture.wav", mixture, 8000, subtype="FLOAT")
    row = evaluate(tmp_path, FakeSeparator()).tracks[0].rows["mixture"]
    assert row["vocals"]["snr"] == metrics.snr(stems[0], np.stack([mixture, mixture]))


def test_a_model_of_other_sources(collection, monkeypatch):
    monkeypatch.setattr(
        FakeSeparator, "card", SimpleNamespace(sources=("vocals", "piano"), soft=False)
    )
    with pytest.raises(ModelError, match="got a model of vocals, piano"):
        evaluate(collection, FakeSeparator())


def test_progress_and_limit(collection):
    seen = []
    result = evaluate(
        collection, FakeSeparator(), limit=1, on_progress=lambda *step: seen.append(step)
    )
    assert seen == [(0, 1, "a song"), (1, 1, "")]
    assert len(result.tracks) == 1


def test_a_folder_without_tracks(tmp_path):
    with pytest.raises(InputError):
        evaluate(tmp_path, FakeSeparator())


# Figures of a collection


def _evaluation(values):
    """Build an evaluation whose metrics are all ``values[track][source]``."""
    tracks = [
        TrackScores(
            f"song {index}",
            60.0,
            {"mixture": {s: dict.fromkeys(METRICS, v) for s, v in zip(SOURCES, row, strict=True)}},
        )
        for index, row in enumerate(values)
    ]
    return Evaluation("fake", 1234, SETTINGS, BINS, True, tuple(tracks))


def test_figures_are_means_and_museval_s_are_medians():
    result = _evaluation([[1, 0, 0, 0], [2, 0, 0, 0], [9, 0, 0, 4]])
    assert result.figure("mixture", "vocals", "snr").value == 4
    assert result.figure("mixture", "vocals", "museval_sdr").value == 2
    assert result.figure("mixture", "vocals", "snr").count == 3
    assert result.figure("mixture", "mean", "snr").value == pytest.approx((4 + 4 / 3) / 4)
    assert result.figure("mixture", "mean", "museval_sdr").value == 0.5


def test_what_is_not_finite_does_not_count():
    result = _evaluation([[1, math.nan, math.inf, 0], [3, math.nan, 5, -math.inf]])
    assert result.figure("mixture", "vocals", "snr").count == 2
    assert math.isnan(result.figure("mixture", "drums", "snr").value)
    assert result.figure("mixture", "drums", "snr").count == 0
    assert result.figure("mixture", "bass", "snr").value == 5
    assert result.figure("mixture", "bass", "snr").count == 1
    assert result.figure("mixture", "mean", "snr").value == pytest.approx((2 + 5 + 0) / 3)
    assert result.figure("mixture", "mean", "snr").count == 3


def test_the_dictionary_is_strict_json():
    result = _evaluation([[1, math.nan, math.inf, -math.inf]])
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    scores = content["tracks"][0]["rows"]["mixture"]
    assert scores["vocals"]["snr"] == 1
    assert [scores[source]["snr"] for source in SOURCES[1:]] == [None] * 3
    assert content["figures"]["mixture"]["vocals"]["snr"] == {"value": 1, "count": 1}
    assert content["figures"]["mixture"]["drums"]["snr"] == {"value": None, "count": 0}
    assert content["model"] == {"name": "fake", "parameters": 1234}
    assert content["stft"] == {"sample_rate": 8000, "n_fft": 256, "hop_length": 64}
    assert set(content["metrics"]) == set(METRICS)
    assert content["paper"]["mask_accuracy"] == dict(PAPER_MASK_ACCURACY)
    assert content["paper"]["ranges"]["snr"] == list(PAPER_RANGES["snr"])
    assert "numpy" in content["versions"]


# The command


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr("stemsplit.separate.Separator", FakeSeparator)
    app = typer.Typer()
    app.command()(command.evaluate)

    def invoke(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


def test_the_table(run, collection):
    result = run(collection, "--soft")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    titles = [line[0] for line in lines if len(line) == 1 and line[0].isalpha()]
    assert titles == [*SOURCES, "mean"]
    for row in [*ROWS, "model_soft", "published"]:
        words = row.split("_")
        rows = [line for line in lines if line[: len(words)] == words and len(line) > 6]
        assert len(rows) == 5, row
    published = [line for line in lines if line[:1] == ["published"]]
    assert [line[1] for line in published] == ["0.772", "0.766", "0.944", "0.764", "0.812"]
    assert published[-1][2:] == ["0.044", "-1.24", "-0.26", "1.16", "–"]
    assert "fake: 1,234 parameters, 2 tracks" in result.stdout


def test_the_table_counts_what_is_defined(run, tmp_path):
    stems = _song(0)
    _write(tmp_path / "whole", stems)
    stems[1] = 0
    _write(tmp_path / "no drums", stems)
    result = run(tmp_path, "--no-museval")
    assert result.exit_code == 0
    drums = result.stdout.split("drums\n")[1] if "drums\n" in result.stdout else result.stdout
    assert "(1)" in drums


def test_the_json_file(run, collection, tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    result = run(collection, "--json", path, "--tracks", 1, "--quiet")
    assert result.exit_code == 0
    content = json.loads(path.read_text())
    assert [track["name"] for track in content["tracks"]] == ["a song"]
    assert list(content["figures"]) == ROWS
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["result.json", "songs"]


def test_a_failure_leaves_the_old_json_file(run, tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    result = run(tmp_path / "missing", "--json", path)
    assert isinstance(result.exception, InputError)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


def test_an_unwritable_json_file_shows_before_the_work(run, collection, tmp_path, monkeypatch):
    monkeypatch.setattr(FakeSeparator, "predict", None)
    result = run(collection, "--json", tmp_path)
    assert isinstance(result.exception, OutputError)
    assert str(tmp_path) in str(result.exception)


# The real thing


def test_a_network_of_random_weights_from_the_command_line(tmp_path, capsys, random_model):
    for suffix in (".json", ".pt"):
        shutil.copy(random_model.with_suffix(suffix), tmp_path)
    _write(tmp_path / "songs" / "song", _song(3, seconds=1.1, rate=44100), rate=44100)
    model, result = str(tmp_path / random_model.name), tmp_path / "result.json"
    arguments = ["evaluate", str(tmp_path / "songs"), "-m", model, "--json", str(result), "--soft"]
    assert cli.run([*arguments, "--device", "cpu", "--update-card"]) == 0
    assert "random: 1,292,932 parameters, 1 track" in capsys.readouterr().out
    figures = json.loads(result.read_text())["figures"]
    for row in ("mixture", "ideal_binary_mask", "ideal_ratio_mask", "model_hard", "model_soft"):
        for source in SOURCES:
            assert 0 <= figures[row][source]["mask_accuracy"]["value"] <= 1
            assert figures[row][source]["snr"]["count"] == 1
    # Probabilities near one half are off by a half, whatever the target.
    assert figures["model_hard"]["mean"]["mask_mse"]["value"] == pytest.approx(0.25, abs=0.02)
    validation = read_card(Path(model)).validation
    assert (validation["collection"], validation["tracks"]) == ("songs", 1)
    assert set(validation["figures"]) == {"model_hard", "model_soft"}
    snr = figures["model_soft"]["vocals"]["snr"]["value"]
    assert validation["figures"]["model_soft"]["vocals"]["snr"] == snr
    oracle = figures["ideal_ratio_mask"]["mean"]["snr"]["value"]
    assert oracle > figures["model_soft"]["mean"]["snr"]["value"] + 3
