"use strict";
// The audio lies in the page in pieces. Pieces are decoded shortly before they sound, and those of
// all tracks are started at one time of one clock: they cannot drift apart, and no long song
// has to fit into memory.
(() => {
  const { seconds, pieceSeconds, rate } = JSON.parse(document.getElementById("data").textContent);
  const AHEAD = 4; // seconds a piece is decoded before it sounds
  const pieces = []; // by track, the elements that hold them
  for (const element of document.querySelectorAll("script.audio")) {
    (pieces[element.dataset.track] ??= []).push(element);
  }
  const mutes = [...document.querySelectorAll("button.mute")];
  const solos = [...document.querySelectorAll("button.solo")];
  const playButton = document.getElementById("play");
  const slider = document.getElementById("position");
  const clock = document.getElementById("clock");
  const problem = document.getElementById("problem");

  let context = null;
  let gains = [];
  let sources = new Set();
  let offset = 0; // where in the song it stands while it does not play
  let on = false; // whether the listener wants it to play; sound begins when a piece is decoded
  let zero = null; // the context's time at which the song's beginning would have sounded
  let next = 0; // the next piece to schedule
  let run = 0; // counts starts and stops, so that late decodings of an old one are dropped

  const position = () =>
    zero !== null ? Math.min(Math.max(context.currentTime - zero, 0), seconds) : offset;
  const isPressed = (button) => button.getAttribute("aria-pressed") === "true";
  const audible = () => {
    const solo = solos.some(isPressed);
    return mutes.map((mute, track) => (solo ? isPressed(solos[track]) : !isPressed(mute)));
  };

  function open() {
    context = new AudioContext({ sampleRate: rate });
    gains = audible().map((on) => {
      const gain = new GainNode(context, { gain: on ? 1 : 0 });
      gain.connect(context.destination);
      return gain;
    });
  }

  function decode(number) {
    return Promise.all(pieces.map((own) => {
      const text = atob(own[number].textContent);
      const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
      return context.decodeAudioData(bytes.buffer);
    }));
  }

  function schedule(number, buffers) {
    const due = zero + number * pieceSeconds;
    const start = Math.max(due, context.currentTime);
    buffers.forEach((buffer, track) => {
      const source = new AudioBufferSourceNode(context, { buffer });
      source.connect(gains[track]);
      source.onended = () => sources.delete(source);
      source.start(start, start - due);
      sources.add(source);
    });
  }

  async function play() {
    const mine = ++run;
    on = true;
    show();
    try {
      if (!context) open();
      if (offset >= seconds) offset = 0;
      next = Math.min(Math.floor(offset / pieceSeconds), pieces[0].length - 1);
      await context.resume();
      const buffers = await decode(next);
      if (mine !== run) return;
      // On a whole sample, so that neighbouring pieces meet without interpolation.
      zero = Math.ceil((context.currentTime + 0.05) * rate) / rate - Math.round(offset * rate) / rate;
      schedule(next++, buffers);
      problem.hidden = true;
      while (next < pieces[0].length) {
        if (next * pieceSeconds - position() > AHEAD) {
          await new Promise((resolve) => setTimeout(resolve, 500));
        } else {
          const buffers = await decode(next);
          if (mine !== run) return;
          schedule(next++, buffers);
        }
        if (mine !== run) return;
      }
    } catch (error) {
      if (mine !== run) return;
      stop();
      problem.textContent = `This browser cannot play the sound, which is Ogg Vorbis (${error.message}). `
        + "Firefox, Chrome and Edge can.";
      problem.hidden = false;
    }
  }

  function stop() {
    offset = position();
    on = false;
    zero = null;
    run++;
    for (const source of sources) source.stop();
    sources = new Set();
    show();
  }

  function seek(to) {
    const again = on;
    if (again) stop();
    offset = Math.min(Math.max(to, 0), seconds);
    show();
    if (again) play();
  }

  const spoken = (time) =>
    `${Math.floor(time / 60)}:${String(Math.floor(time % 60)).padStart(2, "0")}`;

  function show() {
    const now = position();
    document.documentElement.style.setProperty("--position", now / seconds);
    slider.value = now;
    clock.value = `${spoken(now)} / ${spoken(seconds)}`;
    slider.setAttribute("aria-valuetext", `${spoken(now)} of ${spoken(seconds)}`);
    playButton.textContent = on ? "❚❚" : "▶";
    playButton.setAttribute("aria-label", on ? "Pause" : "Play");
  }

  function tick() {
    if (on) {
      if (position() >= seconds) {
        stop();
        offset = 0;
      }
      show();
    }
    requestAnimationFrame(tick);
  }

  function toggle(button) {
    button.setAttribute("aria-pressed", String(!isPressed(button)));
    mix();
  }

  function mix() {
    audible().forEach((on, track) => {
      mutes[track].closest(".track").classList.toggle("silent", !on);
      gains[track]?.gain.setTargetAtTime(on ? 1 : 0, context.currentTime, 0.01);
    });
  }

  playButton.addEventListener("click", () => (on ? stop() : play()));
  slider.addEventListener("input", () => seek(Number(slider.value)));
  for (const button of [...mutes, ...solos]) button.addEventListener("click", () => toggle(button));
  for (const picture of document.querySelectorAll(".picture")) {
    picture.addEventListener("click", (event) => {
      const { left, width } = picture.getBoundingClientRect();
      seek((seconds * (event.clientX - left)) / width);
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.repeat && !event.code.startsWith("Arrow")) return;
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    if (digit && digit[1] <= mutes.length) {
      toggle((event.shiftKey ? solos : mutes)[digit[1] - 1]);
    } else if (event.code === "Space" && event.target.tagName !== "BUTTON") {
      playButton.click();
    } else if (event.code === "ArrowLeft") {
      seek(position() - 5);
    } else if (event.code === "ArrowRight") {
      seek(position() + 5);
    } else {
      return;
    }
    event.preventDefault();
  });

  // For tests: what the listener would hear.
  window.stemsplitPlayer = {
    position,
    playing: () => on,
    audible,
    gains: () => gains.map((gain) => gain.gain.value),
    sources: () => sources.size,
    decode: (number) => { if (!context) open(); return decode(number); },
  };
  mix();
  show();
  requestAnimationFrame(tick);
})();
