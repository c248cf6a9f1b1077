// Drawings on canvas 2D. Every function gets its canvas, its data and the colors of the page, and keeps nothing.

export const Z95 = 1.96;

export function fit(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  const w = Math.max(1, Math.round(width * ratio));
  const h = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

function text(context, words, x, y, color, align = "left", font = "11px system-ui, sans-serif", halo = null) {
  context.font = font;
  context.textAlign = align;
  context.textBaseline = "middle";
  if (halo) {
    context.strokeStyle = halo;
    context.lineWidth = 4;
    context.lineJoin = "round";
    context.strokeText(words, x, y);
  }
  context.fillStyle = color;
  context.fillText(words, x, y);
}

// --- both traces ------------------------------------------------------------------------------------------------------

export function drawTraces(canvas, data, colors) {
  const { context, width, height } = fit(canvas);
  const left = 40;
  const right = width - 10;
  const strip = 18;  // status in words, above
  const axis = 22;  // times and flags, below
  const gap = 14;
  const each = (height - strip - axis - gap) / 2;
  const x = (seconds) => left + (seconds - data.from) / (data.to - data.from) * (right - left);
  shade(context, data, colors, x, 0, height - axis, strip);
  data.dimensions.forEach((name, index) => {
    const top = strip + index * (each + gap);
    const y = (value) => top + (1 - value) / 2 * each;
    grid(context, left, right, y, colors);
    runs(data.points, name).forEach((run) => trace(context, run, name, x, y, colors));
    text(context, name, left + 6, top + each - 10, colors[name], "left", "600 12px system-ui, sans-serif", colors.paper);
  });
  times(context, data, colors, x, height - axis);
  flags(context, data, colors, x, strip, height - axis);
  if (data.cursor !== null) cursor(context, x(data.cursor), strip, height - axis, colors);
}

function grid(context, left, right, y, colors) {
  for (const value of [1, 0, -1]) {
    context.strokeStyle = value === 0 ? colors.axis : colors.grid;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(left, Math.round(y(value)) + 0.5);
    context.lineTo(right, Math.round(y(value)) + 0.5);
    context.stroke();
    text(context, value > 0 ? "+1" : String(value).replace("-", "−"), left - 8, y(value) + (value === 1 ? 5 : value === -1 ? -5 : 0), colors.faint, "right");
  }
}

// The stretches of points that have a value.
function runs(points, name) {
  const found = [];
  let run = [];
  let before = null;
  for (const point of points) {
    const broken = before !== null && point.seconds - before > 0.25;
    if (Number.isNaN(point[name]) || broken) { if (run.length) found.push(run); run = []; }
    if (!Number.isNaN(point[name])) run.push(point);
    before = point.seconds;
  }
  if (run.length) found.push(run);
  return found;
}

function trace(context, run, name, x, y, colors) {
  for (const [factor, alpha] of [[Z95, 0.14], [1, 0.22]]) {
    context.fillStyle = colors[name];
    context.globalAlpha = alpha;
    context.beginPath();
    run.forEach((point) => context.lineTo(x(point.seconds), y(Math.min(1, point[name] + factor * (point[`${name}_std`] || 0)))));
    for (let i = run.length - 1; i >= 0; i -= 1) {
      context.lineTo(x(run[i].seconds), y(Math.max(-1, run[i][name] - factor * (run[i][`${name}_std`] || 0))));
    }
    context.fill();
  }
  context.globalAlpha = 1;
  context.strokeStyle = colors[name];
  context.lineWidth = 2;
  context.lineJoin = "round";
  context.beginPath();
  run.forEach((point) => context.lineTo(x(point.seconds), y(point[name])));
  if (run.length === 1) context.lineTo(x(run[0].seconds) + 1, y(run[0][name]));
  context.stroke();
}

function shade(context, data, colors, x, top, bottom, strip) {
  let start = 0;
  const { points } = data;
  for (let i = 1; i <= points.length; i += 1) {
    if (i < points.length && points[i].status === points[start].status) continue;
    const name = data.statuses[points[start].status]?.name ?? "?";
    const from = x(points[start].seconds);
    const to = i < points.length ? x(points[i].seconds) : x(Math.min(data.to, points[i - 1].seconds + 1 / 30));
    if (name !== "OK") {
      context.fillStyle = colors.status(name);
      context.globalAlpha = 0.2;
      context.fillRect(from, top, Math.max(1, to - from), bottom - top);
      context.globalAlpha = 1;
      context.fillRect(from, top, Math.max(1, to - from), 3);
      context.font = "600 10px system-ui, sans-serif";
      if (to - from > context.measureText(name).width + 6) text(context, name, from + 4, strip / 2 + 2, colors.ink, "left", "600 10px system-ui, sans-serif");
    }
    start = i;
  }
}

const STEPS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

export function clock(seconds) {
  const whole = Math.max(0, seconds);
  const minutes = Math.floor(whole / 60);
  const rest = whole - 60 * minutes;
  return `${minutes}:${rest < 10 ? "0" : ""}${Number.isInteger(rest) ? rest : rest.toFixed(1)}`;
}

function times(context, data, colors, x, y) {
  const span = data.to - data.from;
  const step = STEPS.find((one) => span / one <= Math.max(3, (x(data.to) - x(data.from)) / 90)) ?? 3600;
  const zero = data.relative ? data.to : data.zero;
  for (let k = Math.ceil((data.from - zero) / step); zero + k * step <= data.to + 1e-6; k += 1) {
    const at = x(zero + k * step);
    context.strokeStyle = colors.grid;
    context.beginPath();
    context.moveTo(Math.round(at) + 0.5, y);
    context.lineTo(Math.round(at) + 0.5, y + 4);
    context.stroke();
    const words = data.relative ? (k === 0 ? "now" : span <= 90 ? `−${-k * step} s` : `−${clock(-k * step)}`) : clock(k * step);
    const align = at > x(data.to) - 16 ? "right" : at < x(data.from) + 16 ? "left" : "center";
    text(context, words, at, y + 13, colors.faint, align);
  }
}

function flags(context, data, colors, x, top, bottom) {
  const notes = data.notes.filter((note) => note.seconds >= data.from && note.seconds <= data.to);
  notes.forEach((note, index) => {
    const at = x(note.seconds);
    const next = index + 1 < notes.length ? x(notes[index + 1].seconds) : x(data.to);
    context.strokeStyle = colors.flag;
    context.lineWidth = 1;
    context.setLineDash([3, 3]);
    context.beginPath();
    context.moveTo(at, top);
    context.lineTo(at, bottom);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = colors.flag;
    context.beginPath();
    context.moveTo(at, bottom - 12);
    context.lineTo(at + 9, bottom - 8);
    context.lineTo(at, bottom - 4);
    context.fill();
    context.font = "10px system-ui, sans-serif";
    const words = note.kind.replaceAll("_", " ");
    if (at + 14 + context.measureText(words).width < next) text(context, words, at + 12, bottom - 8, colors.ink, "left", "10px system-ui, sans-serif");
  });
}

function cursor(context, x, top, bottom, colors) {
  context.strokeStyle = colors.ink;
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(x, top);
  context.lineTo(x, bottom);
  context.stroke();
}

// --- the plane --------------------------------------------------------------------------------------------------------

export function drawPlane(canvas, data, colors) {
  const { context, width, height } = fit(canvas);
  const side = Math.min(width, height);
  const radius = side / 2 - 16;
  const cx = width / 2;
  const cy = height / 2;
  const x = (value) => cx + value * radius;
  const y = (value) => cy - value * radius;
  context.lineWidth = 1;
  for (const share of [1, 0.5]) {
    context.strokeStyle = colors.grid;
    context.beginPath();
    context.arc(cx, cy, radius * share, 0, 2 * Math.PI);
    context.stroke();
  }
  context.strokeStyle = colors.axis;
  context.beginPath();
  context.moveTo(x(-1), cy); context.lineTo(x(1), cy);
  context.moveTo(cx, y(-1)); context.lineTo(cx, y(1));
  context.stroke();
  text(context, "pleasant", x(1), cy - 8, colors.faint, "right");
  text(context, "unpleasant", x(-1), cy - 8, colors.faint, "left");
  text(context, "aroused", cx + 6, y(1) - 7, colors.faint);
  text(context, "calm", cx + 6, y(-1) + 8, colors.faint);
  data.labels.forEach(([name, valence, arousal]) => {
    if (name !== "neutral") text(context, name, x(valence), y(arousal), name === data.nearest ? colors.ink : colors.label, "center", name === data.nearest ? "600 12px system-ui, sans-serif" : undefined, colors.paper);
  });
  trail(context, data.trail, x, y, colors);
  if (data.point) spot(context, data.point, x, y, radius, colors);
}

function trail(context, points, x, y, colors) {
  for (let i = 1; i < points.length; i += 1) {
    const [a, b] = [points[i - 1], points[i]];
    if (b.seconds - a.seconds > 0.25) continue;
    context.globalAlpha = 0.08 + 0.7 * (i / points.length) ** 2;
    context.strokeStyle = colors.trail;
    context.lineWidth = 2.5;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(x(a.valence), y(a.arousal));
    context.lineTo(x(b.valence), y(b.arousal));
    context.stroke();
  }
  context.globalAlpha = 1;
}

function spot(context, point, x, y, radius, colors) {
  for (const [factor, alpha] of [[Z95, 0.1], [1, 0.18]]) {
    context.fillStyle = colors.trail;
    context.globalAlpha = alpha;
    context.beginPath();
    context.ellipse(x(point.valence), y(point.arousal), Math.max(1, factor * (point.valence_std || 0) * radius), Math.max(1, factor * (point.arousal_std || 0) * radius), 0, 0, 2 * Math.PI);
    context.fill();
    context.globalAlpha = 0.5;
    context.strokeStyle = colors.trail;
    context.lineWidth = 1;
    context.stroke();
  }
  context.globalAlpha = 1;
  context.fillStyle = colors.trail;
  context.strokeStyle = colors.paper;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x(point.valence), y(point.arousal), 6, 0, 2 * Math.PI);
  context.fill();
  context.stroke();
}

// --- a value on its range ---------------------------------------------------------------------------------------------

export function drawGauge(canvas, value, std, color, colors) {
  const { context, width, height } = fit(canvas);
  const x = (number) => 6 + (Math.max(-1, Math.min(1, number)) + 1) / 2 * (width - 12);
  const middle = height / 2;
  context.fillStyle = colors.grid;
  context.beginPath();
  context.roundRect(6, middle - 3, width - 12, 6, 3);
  context.fill();
  if (!Number.isNaN(value)) {
    context.fillStyle = color;
    for (const [factor, alpha] of [[Z95, 0.25], [1, 0.4]]) {
      context.globalAlpha = alpha;
      context.beginPath();
      context.roundRect(x(value - factor * (std || 0)), middle - 7, Math.max(2, x(value + factor * (std || 0)) - x(value - factor * (std || 0))), 14, 5);
      context.fill();
    }
    context.globalAlpha = 1;
    context.beginPath();
    context.roundRect(x(value) - 2.5, middle - 10, 5, 20, 2.5);
    context.fill();
  }
  context.fillStyle = colors.axis;
  context.fillRect(x(0) - 0.5, middle - 5, 1, 10);
}

// --- the frame and its faces ------------------------------------------------------------------------------------------

export function drawFaces(canvas, data, colors) {
  const { context, width, height } = fit(canvas);
  const [w, h] = data.size ?? [4, 3];
  const scale = Math.min(width / w, height / h);
  const left = (width - w * scale) / 2;
  const top = (height - h * scale) / 2;
  context.fillStyle = colors.frame;
  context.fillRect(left, top, w * scale, h * scale);
  context.save();
  context.beginPath();
  context.rect(left, top, w * scale, h * scale);
  context.clip();
  if (data.frame) context.drawImage(data.frame, left, top, w * scale, h * scale);
  for (const face of data.faces) {
    const [x0, y0, x1, y1] = face.box.map((value, index) => value * scale + (index % 2 ? top : left));
    const crop = data.crops.get(face.track);
    if (crop) {
      const side = data.margin * Math.max(x1 - x0, y1 - y0);
      context.drawImage(crop, (x0 + x1) / 2 - side / 2, (y0 + y1) / 2 - side / 2, side, side);
    }
    context.strokeStyle = face.selected ? colors.trail : colors.axis;
    context.lineWidth = face.selected ? 2.5 : 1.5;
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    const words = `face ${face.track}`;
    context.font = "600 11px system-ui, sans-serif";
    const wide = context.measureText(words).width + 10;
    context.fillStyle = face.selected ? colors.trail : colors.axis;
    const labelTop = y0 - 17 >= top ? y0 - 17 : y0;
    context.fillRect(x0 - 1, labelTop, wide, 17);
    text(context, words, x0 + 4, labelTop + 9, colors.paper, "left", "600 11px system-ui, sans-serif");
  }
  context.restore();
  if (!data.faces.length) text(context, data.size ? "no face" : "no frame yet", width / 2, height / 2, colors.faint, "center", "13px system-ui, sans-serif");
}

// --- latency ----------------------------------------------------------------------------------------------------------

export function drawLatency(canvas, points, colors) {
  const { context, width, height } = fit(canvas);
  const known = points.filter((point) => !Number.isNaN(point.latency_ms));
  if (!known.length) { text(context, "no latency: not read live", width / 2, height / 2, colors.faint, "center"); return; }
  const most = Math.max(20, ...known.map((point) => point.latency_ms));
  const top = most <= 20 ? 20 : most <= 50 ? 50 : most <= 100 ? 100 : Math.ceil(most / 100) * 100;
  const from = points[0].seconds;
  const to = Math.max(points[points.length - 1].seconds, from + 1);
  const x = (seconds) => 4 + (seconds - from) / (to - from) * (width - 8);
  const y = (value) => height - 4 - value / top * (height - 14);
  context.strokeStyle = colors.grid;
  context.beginPath();
  context.moveTo(4, y(top)); context.lineTo(width - 4, y(top));
  context.moveTo(4, y(0)); context.lineTo(width - 4, y(0));
  context.stroke();
  context.strokeStyle = colors.axis;
  context.lineWidth = 1.5;
  context.beginPath();
  known.forEach((point) => context.lineTo(x(point.seconds), y(point.latency_ms)));
  context.stroke();
  text(context, `${top} ms`, width - 4, y(top) + 8, colors.faint, "right");
}
