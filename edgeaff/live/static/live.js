// The page: connection, what is selected, and text. Drawings are in charts.js, the ticks in store.js.

import { Store } from "./store.js";
import { clock, drawFaces, drawGauge, drawLatency, drawPlane, drawTraces, fit, Z95 } from "./charts.js";

const PROTOCOL = 1;
const DIMENSIONS = ["valence", "arousal"];
const WINDOWS = [10, 30, 60, 120, 600];
const TRAIL_SECONDS = 5;
const WRONG_TOKEN = 4401;
const TOO_MANY = 4429;
const SILENT_SECONDS = 1;
const KEPT_NOTES = 200;
const RETRY_MS = [300, 600, 1200, 2500, 5000];
const NO_TROUBLE = /^(frames|samples|audio_frames|chunks)$|_used$|_unused$/;

const $ = (id) => document.getElementById(id);
const still = window.matchMedia("(prefers-reduced-motion: reduce)");
const overlay = new URLSearchParams(location.search).get("view") === "overlay";
const token = decodeURIComponent(location.hash.slice(1));

const page = {
  hello: null, store: null, notes: [], health: null, ageMs: null, ageAt: 0, frameSize: null, frame: null, crops: new Map(),
  seconds: 30, cursor: null, playing: false, face: null, attempts: 0, skipped: 0, binaryMessages: 0, messages: 0, drawn: 0, stopped: false,
};
window.edgeaff = page;  // what the tests look at

document.body.classList.toggle("overlay", overlay);

// --- connection -------------------------------------------------------------------------------------------------------

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/stream`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => socket.send(JSON.stringify({ token }));
  socket.onmessage = (message) => {
    page.messages += 1;
    if (typeof message.data === "string") take(JSON.parse(message.data));
    else takeImage(message.data);
  };
  socket.onclose = (event) => {
    if (event.code === WRONG_TOKEN) { show("ended", "not admitted", "The address of this page has expired: open the one that the running edgeaff prints."); return; }
    if (event.code === TOO_MANY) { show("ended", "too many pages", "Eight pages watch already: close one, then reload."); return; }
    show("lost", "not connected", page.hello ? "The session has ended, or the connection is lost. What was received stays; it is tried again." : "");
    const wait = RETRY_MS[Math.min(page.attempts, RETRY_MS.length - 1)];
    page.attempts += 1;
    setTimeout(connect, wait);
  };
}

function show(state, words, notice) {
  $("connection").dataset.state = state;
  $("connection").textContent = words;
  $("notice").hidden = !notice;
  $("notice").textContent = notice;
}

function take(message) {
  const handler = { hello, history, ticks, skipped, status, health }[message.type];
  if (handler) handler(message);
  if (message.type !== "health") schedule();
}

function hello(message) {
  if (message.protocol !== PROTOCOL) { location.reload(); return; }
  const isNew = !page.hello || page.hello.capacity !== message.capacity || page.hello.columns.join() !== message.columns.join();
  page.attempts = 0;
  page.hello = message;
  if (isNew || message.mode === "live") { page.store = new Store(message); page.notes = []; }
  const isView = message.mode === "view";
  document.body.dataset.mode = message.mode;
  document.title = `edgeaff: ${message.input}`;
  $("mode").textContent = isView ? "stored session" : "live";
  $("source").textContent = [message.input, message.bundle, message.backend].filter(Boolean).join(" · ");
  $("box-note").textContent = { crop: "as the model sees it", frame: "" }[message.images] ?? (isView ? "position in the frame" : "position only: no image is sent");
  $("text").href = `live.txt?token=${encodeURIComponent(token)}`;
  $("raw").hidden = !isView;
  $("clocks").hidden = $("events").hidden = isView;
  $("pause").hidden = isView;
  $("scrubber").hidden = !isView;
  show("open", isView ? "stored" : "connected", "");
  windows();
  legend();
}

function history(message) {
  page.store.addHistory(message);
  if (message.complete && page.hello.mode === "view") {
    page.store.low = 0;
    if (page.cursor === null) seek(0);
  }
}

function ticks(message) {
  page.store.addTicks(message);
  page.ageMs = message.age_ms;
  page.ageAt = performance.now();
  if (message.frame) page.frameSize = message.frame;
}

function skipped(message) { page.skipped = message.total; }

function status(message) {
  const { kind, name, message: words } = message.event;
  page.notes.push({ seconds: message.pts_ns === null ? NaN : message.pts_ns / 1e9, kind, name, words });
  if (page.notes.length > KEPT_NOTES) page.notes.shift();
  log();
}

function health(message) {
  page.health = message;
  const allowed = page.hello.images;
  $("images").hidden = !allowed;
  if (allowed) {
    const people = message.viewers === 1 ? "1 page watches" : `${message.viewers} pages watch`;
    $("images").textContent = `This page shows ${allowed === "crop" ? "images of faces" : "what the camera sees"}. ${people} now. The people in view should know.`;
  }
  facts();
}

async function takeImage(data) {
  page.binaryMessages += 1;
  const length = new DataView(data).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const bitmap = await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" })).catch(() => null);
  if (!bitmap) return;
  if (head.kind === "frame") {
    page.frame?.close();
    page.frame = bitmap;
  } else {
    page.crops.get(head.track_id)?.close();
    page.crops.set(head.track_id, bitmap);
  }
  schedule();
}

// --- what is selected -------------------------------------------------------------------------------------------------

const following = () => page.cursor === null;

function current() {
  if (!page.store) return -1;
  const row = following() ? page.store.newest() : Math.max(page.cursor, page.store.first);
  if (row < 0) return -1;
  const rows = page.store.tick(row);
  return rows.find((one) => page.store.get(one, "face_track_id") === page.face) ?? rows[0];
}

function seek(row) {
  const { store } = page;
  page.cursor = Math.max(store.first, Math.min(store.high - 1, Math.round(row)));
  if (page.hello.mode === "view") fetchEvent(page.cursor);
  schedule();
}

let wanted = null;
async function fetchEvent(row) {
  const isBusy = wanted !== null;
  wanted = row;
  if (isBusy) return;
  while (wanted !== null) {
    const asked = wanted;
    try {
      const answer = await fetch(`event?row=${asked}`, { headers: { Authorization: `Bearer ${token}` } });
      $("event").textContent = answer.ok ? await answer.text() : "";
      $("event").dataset.row = asked;
    } catch { /* the server is gone; the connection shows it */ }
    if (wanted === asked) wanted = null;
  }
}

function pause() {
  if (page.hello?.mode === "view") { play(); return; }
  if (following()) {
    const row = page.store?.newest() ?? -1;
    if (row < 0) return;
    seek(row);
  } else {
    page.cursor = null;
  }
  $("pause").setAttribute("aria-pressed", String(!following()));
  $("pause").textContent = following() ? "pause" : "go on";
  $("scrubber").hidden = following();
  schedule();
}

function play() {
  page.playing = !page.playing;
  $("play").textContent = page.playing ? "pause" : "play";
  if (!page.playing) return;
  const { store } = page;
  if (page.cursor >= store.high - 1) seek(store.first);
  const begun = performance.now();
  const from = store.seconds(page.cursor);
  const step = () => {
    if (!page.playing) return;
    const row = store.rowAt(from + (performance.now() - begun) / 1000);
    seek(row);
    if (row >= store.high - 1) { play(); return; }
    setTimeout(step, still.matches ? 500 : 50);
  };
  step();
}

function move(ticksOn) {
  if (!page.store || page.store.newest() < 0) return;
  if (following()) pause();
  const goal = page.store.seconds(page.cursor) + ticksOn / page.hello.tick_hz;
  let row = page.store.rowAt(goal + 1e-4);
  if (ticksOn > 0 && row === page.cursor) row += 1;
  seek(row);
}

function windows() {
  const options = page.hello.mode === "view" ? [...WINDOWS.slice(0, 4), Infinity] : WINDOWS;
  if (page.hello.mode === "view" && !$("windows").children.length) page.seconds = Infinity;
  $("windows").replaceChildren(...options.map((seconds) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = seconds === Infinity ? "all" : seconds < 60 ? `${seconds} s` : `${seconds / 60} min`;
    button.setAttribute("aria-pressed", String(page.seconds === seconds));
    button.onclick = () => { page.seconds = seconds; windows(); schedule(); };
    return button;
  }));
}

// --- colors -----------------------------------------------------------------------------------------------------------

let palette = null;
function colors() {
  if (palette) return palette;
  const style = getComputedStyle(document.body);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  palette = Object.fromEntries(["valence", "arousal", "grid", "axis", "faint", "label", "ink", "paper", "flag", "trail", "frame"].map((name) => [name, of(name)]));
  palette.status = (name) => of(`status-${name}`) || of("status-other");
  return palette;
}

function theme() {
  const isDark = getComputedStyle(document.body).getPropertyValue("--is-dark").trim() === "1";
  document.documentElement.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("edgeaff-theme", document.documentElement.dataset.theme);
  palette = null;
  schedule();
}

// --- drawing ----------------------------------------------------------------------------------------------------------

let isScheduled = false;
function schedule() {
  if (isScheduled) return;
  isScheduled = true;
  const draw = () => { isScheduled = false; render(); };
  if (still.matches) setTimeout(draw, 500); else requestAnimationFrame(draw);
}

const NAMES = ["seconds", ...DIMENSIONS, ...DIMENSIONS.map((name) => `${name}_std`), "status", "latency_ms"];
const pointOf = (row) => Object.fromEntries(NAMES.map((name) => [name, name === "seconds" ? page.store.seconds(row) : page.store.get(row, name)]));

function range(row) {
  const { store } = page;
  const start = store.seconds(store.first);
  const end = store.seconds(store.newest());
  if (page.seconds === Infinity) return [start, Math.max(end, start + 1)];
  const to = following() ? end : Math.min(end, Math.max(store.seconds(row) + page.seconds / 2, start + page.seconds));
  return [to - page.seconds, to];
}

// At most two points for each pixel: the span is cut into equal stretches and the extremes of each are kept.
function thin(rows, most) {
  if (rows.length <= most) return rows;
  const step = rows.length / most;
  return Array.from({ length: most }, (_, index) => rows[Math.floor(index * step)]);
}

function render() {
  const row = current();
  if (row < 0) return;
  const { store } = page;
  const palette_ = colors();
  const newest = store.newest();
  const [from, to] = range(row);
  const selected = page.face;
  const rows = thin(store.span(from, to, selected, newest), 2 * Math.max(200, $("trace").clientWidth));
  const points = rows.map(pointOf);
  const seconds = store.seconds(row);
  if (!overlay) {
    drawTraces($("trace"), {
      points, from, to, dimensions: DIMENSIONS, statuses: page.hello.statuses, notes: page.notes, relative: following(), zero: store.seconds(store.first),
      cursor: following() ? null : seconds,
    }, palette_);
    faces(row, palette_);
    drawLatency($("latency"), points, palette_);
    evidence(row);
    people(row);
  }
  const trail = still.matches ? [] : store.span(seconds - TRAIL_SECONDS, seconds, selected, newest).map(pointOf).filter((one) => !Number.isNaN(one.valence + one.arousal));
  const point = pointOf(row);
  const isPlaced = !Number.isNaN(point.valence + point.arousal);
  const nearest = isPlaced ? nearestLabel(point) : null;
  drawPlane($("plane"), { labels: page.hello.labels, trail, point: isPlaced ? point : null, nearest }, palette_);
  now(row, point, nearest, palette_);
  scrubber(row);
  page.drawn += 1;
  page.newestSeconds = store.seconds(newest);
  page.newestAgeMs = age();
}

const age = () => (page.ageMs === null ? null : page.ageMs + performance.now() - page.ageAt);

function nearestLabel(point) {
  let best = null;
  for (const [name, valence, arousal] of page.hello.labels) {
    const distance = (valence - point.valence) ** 2 + (arousal - point.arousal) ** 2;
    if (!best || distance < best[0]) best = [distance, name];
  }
  return best?.[1] ?? null;
}

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

function now(row, point, nearest, palette_) {
  const { store } = page;
  const state = page.hello.statuses[point.status] ?? { name: "?", words: "" };
  $("status").textContent = state.name.replaceAll("_", " ");
  $("status").style.setProperty("--state", palette_.status(state.name));
  $("status").dataset.status = state.name;
  $("why").textContent = why(state, point);
  for (const name of DIMENSIONS) {
    const value = point[name];
    const half = Z95 * point[`${name}_std`];
    const isKnown = !Number.isNaN(value);
    $(name).textContent = isKnown ? signed(value) : "no value";
    $(name).classList.toggle("none", !isKnown);
    $(`${name}-range`).textContent = isKnown && !Number.isNaN(half) ? `± ${half.toFixed(2)}` : "";
    $(`${name}-sure`).textContent = sure(value, half);
    drawGauge($(`${name}-gauge`), value, point[`${name}_std`], palette_[name], palette_);
  }
  const track = store.get(row, "face_track_id");
  $("who-face").textContent = Number.isNaN(track) ? "none in view" : `face ${track}${store.tick(row).length > 1 ? ` of ${store.tick(row).length}` : ""}`;
  $("who-voice").textContent = voice(row);
  $("reads").textContent = nearest ?? "–";
}

function why(state, point) {
  const silent = silence();
  if (silent !== null) return `No tick for ${silent.toFixed(0)} s: the session has stopped or hangs.`;
  const limit = page.hello.limits.abstain_above_std;
  const more = state.name === "ABSTAIN" && limit ? ` This model gives none where the standard error of both is above ${limit.toFixed(2)}.` : "";
  const missing = DIMENSIONS.filter((name) => Number.isNaN(point[name]));
  const part = missing.length === 1 && state.name !== "ABSTAIN" ? ` The evidence is too weak for ${missing[0]}.` : "";
  return (state.words || state.name) + more + part;
}

function sure(value, half) {
  if (Number.isNaN(value)) return "";
  if (Number.isNaN(half)) return "without a range";
  const word = half <= 0.25 ? "well determined" : half <= 0.5 ? "a rough value" : "hardly determined";
  return `${word}; 95 %: ${signed(Math.max(-1, value - half))} to ${signed(Math.min(1, value + half))}`;
}

function voice(row) {
  const { store } = page;
  const share = store.get(row, "audio_coverage");
  if (Number.isNaN(store.get(row, "audio_age_ms"))) return Number.isNaN(share) ? "no microphone is read" : "nothing is heard";
  const speaking = store.has("speaking") ? store.get(row, "speaking") : NaN;
  if (!Number.isNaN(speaking)) return speaking >= 0.5 ? "this face speaks" : "this face does not speak";
  return share > 0 ? `a voice is heard (${Math.round(100 * share)} % of the last 3 s)` : "nobody speaks";
}

function faces(row, palette_) {
  const { store } = page;
  const found = store.tick(row).filter((one) => !Number.isNaN(store.get(one, "face_track_id"))).map((one) => ({
    track: store.get(one, "face_track_id"),
    box: ["face_x0", "face_y0", "face_x1", "face_y1"].map((name) => store.get(one, name)),
    selected: one === row,
  }));
  const size = page.frameSize ?? sizeFrom(found);
  const isOld = !following();
  for (const [track, crop] of page.crops) if (following() && !found.some((face) => face.track === track)) { crop.close(); page.crops.delete(track); }
  drawFaces($("face"), { size, faces: found, frame: isOld ? null : page.frame, crops: isOld ? new Map() : page.crops, margin: page.hello.crop_margin }, palette_);
}

// A stored session does not say how large its frames were: the smallest usual size that holds every box so far.
function sizeFrom(found) {
  for (const face of found) page.farthest = [Math.max(page.farthest?.[0] ?? 0, face.box[2]), Math.max(page.farthest?.[1] ?? 0, face.box[3])];
  if (!page.farthest) return null;
  return [[320, 240], [640, 480], [1280, 720], [1920, 1080], [3840, 2160]].find(([w, h]) => w >= page.farthest[0] && h >= page.farthest[1]) ?? page.farthest;
}

function bar(label, share, words, title) {
  const box = document.createElement("div");
  box.className = "bar-row";
  box.title = title;
  const full = Number.isNaN(share) ? 0 : Math.max(0, Math.min(1, share));
  const meter = document.createElement("div");
  meter.className = "meter";
  for (const [key, value] of [["role", "meter"], ["aria-label", label], ["aria-valuemin", 0], ["aria-valuemax", 1], ["aria-valuenow", full.toFixed(2)]]) meter.setAttribute(key, value);
  const filled = document.createElement("i");
  filled.style.width = `${100 * full}%`;
  meter.append(filled);
  const [name, text] = ["span", "span"].map((tag) => document.createElement(tag));
  name.textContent = label;
  text.textContent = words;
  box.append(name, meter, text);
  return box;
}

function evidence(row) {
  const get = (name) => page.store.get(row, name);
  const ms = (value) => (Number.isNaN(value) ? "none" : `${Math.round(value)} ms`);
  const percent = (value) => (Number.isNaN(value) ? "not read" : `${Math.round(100 * value)} %`);
  const fresh = (value) => (Number.isNaN(value) ? 0 : 1 - value / 500);
  $("evidence-rows").replaceChildren(
    bar("face, last 3 s", get("video_coverage"), percent(get("video_coverage")), "share of the last 100 ticks with a face"),
    bar("voice, last 3 s", get("audio_coverage"), percent(get("audio_coverage")), "share of the last 100 ticks with a voice"),
    bar("age of the frame", fresh(get("video_age_ms")), ms(get("video_age_ms")), "full: of this tick; empty: half a second old, or none"),
    bar("age of the audio", fresh(get("audio_age_ms")), ms(get("audio_age_ms")), "full: of this tick; empty: half a second old, or none"),
    bar("face detection", get("face_score"), Number.isNaN(get("face_score")) ? "no face" : get("face_score").toFixed(2), "score of the detector"),
  );
}

function people(row) {
  const { store } = page;
  const rows = store.tick(row);
  $("people").hidden = rows.length < 2 && page.face === null;
  if ($("people").hidden) return;
  $("faces").replaceChildren(...rows.map((one) => {
    const line = document.createElement("tr");
    line.setAttribute("aria-selected", String(one === row));
    const track = store.get(one, "face_track_id");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = Number.isNaN(track) ? "none" : `face ${track}`;
    button.onclick = () => { page.face = Number.isNaN(track) ? null : track; schedule(); };
    const value = (name) => (Number.isNaN(store.get(one, name)) ? "no value" : `${signed(store.get(one, name))} ± ${(Z95 * store.get(one, `${name}_std`)).toFixed(2)}`);
    const cells = [button, value("valence"), value("arousal"), voice(one), (page.hello.statuses[store.get(one, "status")]?.name ?? "?").replaceAll("_", " ")];
    line.append(...cells.map((content) => { const cell = document.createElement("td"); cell.append(content); return cell; }));
    return line;
  }));
}

function fact(name, words) {
  const box = document.createElement("div");
  const [dt, dd] = ["dt", "dd"].map((tag) => document.createElement(tag));
  dt.textContent = name;
  dd.textContent = words;
  box.append(dt, dd);
  return box;
}

function facts() {
  const { health: state, stats } = page.health.status;
  if (!state || page.hello.mode === "view") return;
  const latency = stats.stages_ms?.latency;
  const row = current();
  const behind = row < 0 ? NaN : page.store.get(row, "audio_age_ms") - page.store.get(row, "video_age_ms");
  const drops = Object.entries({ ...stats.inputs, ...stats.source, events_dropped: stats.events_dropped }).filter(([name, count]) => count && !NO_TROUBLE.test(name));
  const sources = Object.entries(state.sources).map(([name, source]) => `${name}: ${source.state}`);
  const { step } = state.ladder;
  $("health").replaceChildren(
    fact("latency p50 / p95 / p99", latency ? `${[latency.p50, latency.p95, latency.p99].map((ms) => ms.toFixed(0)).join(" / ")} ms` : "–"),
    fact("audio behind video", Number.isNaN(behind) ? "–" : `${behind.toFixed(0)} ms`),
    fact("audio clock against ours", stats.skew_ppm === null || stats.skew_ppm === undefined ? "–" : `${stats.skew_ppm.toFixed(1)} ppm`),
    fact("work left out", step ? `step ${step}: ${state.ladder.name}` : "nothing"),
    fact("dropped or repaired", drops.length ? drops.map(([name, count]) => `${name.replaceAll("_", " ")} ${count}`).join(", ") : "nothing"),
    fact("sources", sources.join(", ") || "a file"),
    fact("backend", state.backend.swap ? `${state.backend.name}, ${state.backend.swap}` : state.backend.name),
    fact("pages watching", String(page.health.viewers) + (page.skipped ? `; this one missed ${page.skipped} ticks` : "")),
  );
}

function log() {
  $("log").replaceChildren(...page.notes.slice(-12).reverse().map((note) => {
    const item = document.createElement("li");
    const [name, words] = ["strong", "span"].map((tag) => document.createElement(tag));
    name.textContent = note.kind.replaceAll("_", " ");
    words.textContent = ` ${note.words || note.name}`;
    item.append(name, words);
    return item;
  }));
}

function legend() {
  const head = document.createElement("li");
  head.className = "head";
  head.textContent = "shaded where the status is not OK:";
  $("legend").replaceChildren(head, ...page.hello.statuses.filter(({ name }) => name !== "OK").map(({ name, words }) => {
    const item = document.createElement("li");
    item.textContent = name.replaceAll("_", " ");
    item.title = words;
    item.style.setProperty("--state", `var(--status-${name}, var(--status-other))`);
    return item;
  }));
}

function scrubber(row) {
  if ($("scrubber").hidden) return;
  const { store } = page;
  Object.assign($("scrub"), { min: store.first, max: store.high - 1, value: row });
  const at = clock(Math.round(10 * (store.seconds(row) - store.seconds(store.first))) / 10);
  $("position").textContent = `${at} of ${clock(Math.round(store.seconds(store.newest()) - store.seconds(store.first)))}`;
  $("scrub").setAttribute("aria-valuetext", at);
}

function silence() {
  if (!page.hello || page.hello.mode === "view" || !following() || page.ageAt === 0) return null;
  const seconds = (performance.now() - page.ageAt) / 1000;
  return seconds > SILENT_SECONDS ? seconds : null;
}

function speak() {
  if (!page.store || current() < 0) return;
  const values = DIMENSIONS.map((name) => `${name} ${$(name).textContent} ${$(`${name}-range`).textContent}`);
  $("spoken").textContent = `${$("status").textContent}: ${values.join(", ")}`;
  $("trace").setAttribute("aria-label", `valence and arousal over time; now ${values.join(", ")}`);
}

// --- keys and buttons -------------------------------------------------------------------------------------------------

function nextFace() {
  const row = current();
  if (row < 0) return;
  const tracks = page.store.tick(row).map((one) => page.store.get(one, "face_track_id")).filter((track) => !Number.isNaN(track));
  page.face = tracks[(tracks.indexOf(page.face) + 1) % tracks.length] ?? null;
  schedule();
}

const KEYS = {
  " ": pause, ArrowLeft: (event) => move(event.shiftKey ? -page.hello.tick_hz : -1), ArrowRight: (event) => move(event.shiftKey ? page.hello.tick_hz : 1),
  Home: () => { if (following()) pause(); seek(page.store.first); }, End: () => { if (page.hello.mode === "view") seek(page.store.high - 1); else if (!following()) pause(); },
  f: nextFace, t: theme, "?": () => $("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (!page.store || event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const isControl = ["BUTTON", "A"].includes(event.target.tagName) && [" ", "Enter"].includes(event.key);
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const chosen = "12345".indexOf(event.key);
  if (isControl) return;
  if (action) { event.preventDefault(); action(event); }
  else if (chosen >= 0) $("windows").children[chosen]?.click();
});

function pick(event) {
  if (!page.store || current() < 0) return;
  const box = $("trace").getBoundingClientRect();
  const [from, to] = range(current());
  const share = (event.clientX - box.left - 40) / (box.width - 50);
  if (following()) pause();
  seek(page.store.rowAt(from + Math.max(0, Math.min(1, share)) * (to - from)));
}

$("trace").addEventListener("pointerdown", (event) => { $("trace").setPointerCapture(event.pointerId); pick(event); });
$("trace").addEventListener("pointermove", (event) => { if (event.buttons) pick(event); });
$("pause").onclick = pause;
$("play").onclick = pause;
$("scrub").oninput = () => seek(Number($("scrub").value));
$("theme").onclick = theme;
$("keys").onclick = () => $("help").showModal();
new ResizeObserver(() => schedule()).observe(document.body);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { palette = null; schedule(); });
const chosenTheme = localStorage.getItem("edgeaff-theme");
if (chosenTheme && !overlay) document.documentElement.dataset.theme = chosenTheme;
setInterval(speak, 5000);
setInterval(() => { if (silence() !== null) { show("lost", "no ticks", ""); schedule(); } else if ($("connection").textContent === "no ticks" ) show("open", "connected", ""); }, 250);
for (const id of ["trace", "plane", "face", "latency"]) fit($(id));
if (token) connect();
else show("ended", "no token", "This page needs the whole address that edgeaff prints, with the part behind #.");
