// Keeps the ticks of the session in columns. A row has the number that the server gave it; memory never grows.

const EXACT = 2;  // seq and pts_ns, which need more digits than a float32 has

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  return bytes.buffer;
}

export class Store {
  constructor(hello) {
    this.columns = hello.columns;
    this.capacity = hello.capacity;
    this.exact = new Float64Array(this.capacity * EXACT).fill(NaN);
    this.width = hello.columns.length - EXACT;
    this.values = new Float32Array(this.capacity * this.width).fill(NaN);
    this.place = Object.fromEntries(hello.columns.map((name, index) => [name, index]));
    this.low = Infinity;  // oldest row that is here
    this.high = 0;  // behind the newest one
  }

  get first() { return Math.max(Number.isFinite(this.low) ? this.low : 0, this.high - this.capacity, 0); }

  addTicks(message) {
    message.rows.forEach((row, index) => {
      const at = (message.first + index) % this.capacity;
      for (let i = 0; i < EXACT; i += 1) this.exact[at * EXACT + i] = row[i] ?? NaN;
      for (let i = 0; i < this.width; i += 1) this.values[at * this.width + i] = row[EXACT + i] ?? NaN;
    });
    this.forgetBetween(this.high, message.first);
    this.grow(message.first, message.first + message.rows.length);
  }

  addHistory(message) {
    const exact = new Float64Array(bytesOf(message.exact));
    const values = new Float32Array(bytesOf(message.values));
    for (let i = 0; i < message.rows; i += 1) {
      const row = message.first + i;
      if (row < this.high - this.capacity) continue;
      const at = row % this.capacity;
      this.exact.set(exact.subarray(i * EXACT, (i + 1) * EXACT), at * EXACT);
      this.values.set(values.subarray(i * this.width, (i + 1) * this.width), at * this.width);
    }
    if (message.rows) this.grow(message.first, message.first + message.rows);
  }

  grow(first, end) {
    this.low = Math.min(this.low, first);
    this.high = Math.max(this.high, end);
  }

  forgetBetween(from, to) {  // rows that a slow viewer missed: what stood in their place is older
    if (!this.high) return;
    for (let row = Math.max(from, to - this.capacity); row < to; row += 1) this.exact[(row % this.capacity) * EXACT + 1] = NaN;
  }

  get(row, name) {
    const place = this.place[name];
    if (place === undefined || row < this.first || row >= this.high) return NaN;
    const at = row % this.capacity;
    return place < EXACT ? this.exact[at * EXACT + place] : this.values[at * this.width + place - EXACT];
  }

  has(name) { return this.place[name] !== undefined; }

  seconds(row) { return this.get(row, "pts_ns") / 1e9; }

  newest() {
    for (let row = this.high - 1; row >= this.first; row -= 1) if (!Number.isNaN(this.get(row, "pts_ns"))) return row;
    return -1;
  }

  // The rows of the tick that a row belongs to.
  tick(row) {
    const pts = this.get(row, "pts_ns");
    let from = row;
    let to = row + 1;
    while (from > this.first && this.get(from - 1, "pts_ns") === pts) from -= 1;
    while (to < this.high && this.get(to, "pts_ns") === pts) to += 1;
    return Array.from({ length: to - from }, (_, index) => from + index);
  }

  // Rows of one face between two times, oldest first; face null: the first row of each tick.
  span(from, to, face, newest) {
    const rows = [];
    for (let row = newest; row >= this.first; row -= 1) {
      const seconds = this.seconds(row);
      if (Number.isNaN(seconds) || seconds > to) continue;
      if (seconds < from) break;
      const track = this.get(row, "face_track_id");
      const isFirst = row === this.first || this.seconds(row - 1) !== seconds;
      if (face === null ? isFirst : track === face || Number.isNaN(track)) rows.push(row);
    }
    return rows.reverse();
  }

  rowAt(seconds) {  // the newest row at or before a time
    let low = this.first;
    let high = this.high - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.seconds(middle) <= seconds) low = middle; else high = middle - 1;
    }
    return low;
  }
}
