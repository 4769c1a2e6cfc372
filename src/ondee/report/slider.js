"use strict";
(async () => {
  const root = document.getElementById("slider");
  const about = JSON.parse(document.getElementById("slider-data").textContent);
  const say = (words) => { root.querySelector(".reading").textContent = words; };

  // ---- the fields: one packed block of bytes, unpacked once
  let bytes;
  try {
    const packed = Uint8Array.from(atob(document.getElementById("slider-bytes").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    bytes = await new Response(stream).arrayBuffer();
  } catch (problem) {
    say("This browser cannot unpack the fields of the slider; a newer one can. All figures and tables work without.");
    return;
  }
  const { nx, ny, times, step, panels, sources } = about;
  const size = nx * ny;
  let offset = 0;
  const take = (Kind) => {
    const held = new Kind(bytes, offset, size * times.length);
    offset += held.byteLength;
    return held;
  };
  const MISSING = 65535;
  const held = { rain_rate: take(Uint16Array), radar_mean: take(Uint16Array), radar_overpass: take(Uint16Array) };
  held.source = take(Int8Array);
  held.minute = take(Uint8Array);
  held.quality = take(Uint8Array);

  // ---- values and colours
  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const rain = (name, at) => (held[name][at] === MISSING ? NaN : held[name][at] * step);
  const against = root.querySelector("select");
  const value = (panel, at) => {
    if (panel === "difference") return rain("rain_rate", at) - rain(against.value, at);
    if (panel === "source") return held.source[at];
    if (panel === "minute") return held.minute[at] === 255 ? NaN : held.minute[at];
    return rain(panel, at);
  };
  const passed = (at) => held.source[at] > 0;
  const palettes = {};
  for (const [name, panel] of Object.entries(panels)) palettes[name] = panel.colours.map(rgb);
  const none = rgb(about.no_pass);
  const colour = (name, at) => {
    const found = value(name, at);
    if (name === "source") return sources[found] ? rgb(sources[found][1]) : null;
    const waits = name === "minute" || name === "radar_overpass" || (name === "difference" && against.value === "radar_overpass");
    if (waits && !passed(at)) return held.source[at] < 0 ? none : null;
    if (Number.isNaN(found)) return null;
    const levels = panels[name].levels;
    let index = 0;
    while (index < levels.length && found >= levels[index] - 1e-9) index += 1;
    return palettes[name][index];
  };

  // ---- drawing
  const canvases = new Map([...root.querySelectorAll("canvas")].map((canvas) => [canvas.dataset.panel, canvas]));
  const small = document.createElement("canvas");
  small.width = nx;
  small.height = ny;
  const brush = small.getContext("2d", { willReadFrequently: true });
  const hatch = document.createElement("canvas");
  hatch.width = hatch.height = 8;
  const stroke = hatch.getContext("2d");
  stroke.fillStyle = about.unobserved[0];
  stroke.fillRect(0, 0, 8, 8);
  stroke.strokeStyle = about.unobserved[1];
  stroke.lineWidth = 1.2;
  stroke.beginPath();
  for (const from of [-8, 0, 8]) { stroke.moveTo(from, 8); stroke.lineTo(from + 8, 0); }
  stroke.stroke();
  let now = 0;
  let cross = null;
  let check = 0;

  const lines = (pen, width, height) => {
    for (const [kind, dash, wide] of [["border", [4, 3], 0.8], ["coast", [], 1.1]]) {
      for (const [ink, extra] of [["rgba(255,255,255,.65)", 1.4], ["#222", 0]]) {
        pen.setLineDash(extra ? [] : dash);
        pen.strokeStyle = ink;
        pen.lineWidth = (wide + extra) * (window.devicePixelRatio || 1);
        pen.beginPath();
        for (const line of about.lines[kind]) {
          for (let at = 0; at < line.length; at += 2) {
            const x = (line[at] / nx) * width;
            const y = (line[at + 1] / ny) * height;
            if (at) pen.lineTo(x, y); else pen.moveTo(x, y);
          }
        }
        pen.stroke();
      }
    }
    pen.setLineDash([]);
  };

  const draw = (name) => {
    const canvas = canvases.get(name);
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(width * about.aspect));
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const image = brush.createImageData(nx, ny);
    for (let cell = 0; cell < size; cell += 1) {
      const ink = colour(name, now * size + cell);
      if (!ink) continue;
      image.data.set(ink, 4 * cell);
      image.data[4 * cell + 3] = 255;
    }
    for (const byte of image.data) check = (Math.imul(check, 31) + byte) | 0;
    brush.putImageData(image, 0, 0);
    const pen = canvas.getContext("2d");
    pen.fillStyle = pen.createPattern(hatch, "repeat");
    pen.fillRect(0, 0, width, height);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, 0, 0, width, height);
    lines(pen, width, height);
    if (cross === null) return;
    const x = (((cross % nx) + 0.5) / nx) * width;
    const y = ((Math.floor(cross / nx) + 0.5) / ny) * height;
    const reach = 5 * ratio;
    for (const [ink, wide] of [["#fff", 4], ["#000", 1.6]]) {
      pen.strokeStyle = ink;
      pen.lineWidth = wide * ratio;
      pen.strokeRect(x - reach, y - reach, 2 * reach, 2 * reach);
    }
  };

  // ---- words
  const signed = (number) => (number > 0 ? "+" : "") + number.toFixed(2).replace("-", "−");
  const amount = (number) => (Number.isNaN(number) ? "not observed" : `${number.toFixed(2)} ${about.unit}`);
  const place = () => {
    const x = about.west + ((cross % nx) + 0.5) * about.dx;
    const y = about.north - (Math.floor(cross / nx) + 0.5) * about.dy;
    if (!about.geographic) return `${(x / 1000).toFixed(0)} km east, ${(y / 1000).toFixed(0)} km north`;
    return `${Math.abs(x).toFixed(2)}° ${x < 0 ? "W" : "E"}, ${Math.abs(y).toFixed(2)}° ${y < 0 ? "S" : "N"}`;
  };
  const summed = () => {
    const seen = new Map();
    let first = 255;
    let last = -1;
    const sums = { count: 0, rain_rate: 0, radar_mean: 0 };
    for (let at = now * size; at < (now + 1) * size; at += 1) {
      const name = sources[held.source[at]];
      if (name) seen.set(name[0], (seen.get(name[0]) || 0) + 1);
      if (passed(at) && held.minute[at] !== 255) {
        first = Math.min(first, held.minute[at]);
        last = Math.max(last, held.minute[at]);
      }
      const pair = [rain("rain_rate", at), rain("radar_mean", at)];
      if (pair.some(Number.isNaN)) continue;
      sums.count += 1;
      sums.rain_rate += pair[0];
      sums.radar_mean += pair[1];
    }
    const names = [...seen].sort((one, other) => other[1] - one[1]).map(([name]) => name).join(", ");
    const minutes = last < 0 ? "" : first === last ? `, minute ${first} of the half hour` : `, minutes ${first} to ${last} of the half hour`;
    const mean = (name) => `${(sums[name] / sums.count).toFixed(2)} ${about.unit}`;
    const rains = sums.count ? ` · mean over ${sums.count} cells that both saw: IMERG ${mean("rain_rate")}, radar ${mean("radar_mean")}` : "";
    root.querySelector(".summed").textContent = `${names || "no source"}${minutes}${rains}`;
  };
  const reading = () => {
    if (cross === null) { say("Point at a map, or tap it, to read the values of a cell."); return; }
    const at = now * size + cross;
    const known = sources[held.source[at]];
    const minute = value("minute", at);
    const pass = passed(at)
      ? `${known ? known[0] : "a sensor"} passed${Number.isNaN(minute) ? "" : ` in minute ${minute}`}; radar then ${amount(rain("radar_overpass", at))}`
      : `no pass (${known ? known[0] : "source unknown"})`;
    const difference = value("difference", at);
    const gap = Number.isNaN(difference) ? "" : ` · difference ${signed(difference)} ${about.unit}`;
    const quality = held.quality[at] === 255 ? "" : ` · quality index ${(held.quality[at] / 100).toFixed(2)}`;
    say(`${place()}: IMERG ${amount(rain("rain_rate", at))} · radar mean ${amount(rain("radar_mean", at))} · ${pass}${gap}${quality}`);
  };

  // ---- moving
  const range = root.querySelector("input[type=range]");
  const label = root.querySelector("output");
  const play = root.querySelector("button.play");
  const show = (wanted) => {
    now = (wanted + times.length) % times.length;
    range.value = String(now);
    range.setAttribute("aria-valuetext", times[now]);
    label.textContent = `${times[now]}  (${now + 1} of ${times.length})`;
    check = 0;
    for (const name of canvases.keys()) draw(name);
    root.dataset.step = String(now);
    root.dataset.checksum = String(check);
    summed();
    reading();
  };
  let clock = null;
  const halt = () => { clearInterval(clock); clock = null; play.textContent = "▶ play"; };
  play.addEventListener("click", () => {
    if (clock !== null) { halt(); return; }
    play.textContent = "❚❚ pause";
    clock = setInterval(() => show(now + 1), 900);
  });
  range.addEventListener("input", () => { halt(); show(Number(range.value)); });
  for (const [name, move] of [["back", -1], ["on", 1]]) {
    root.querySelector(`button.${name}`).addEventListener("click", () => { halt(); show(now + move); });
  }
  document.addEventListener("keydown", (event) => {
    const busy = event.target.closest && event.target.closest("input, select, textarea, .scroll");
    if (busy || event.altKey || event.ctrlKey || event.metaKey) return;
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    halt();
    show(now + move);
  });
  against.addEventListener("change", () => show(now));
  for (const canvas of canvases.values()) {
    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      const x = Math.floor(((event.clientX - box.left) / box.width) * nx);
      const y = Math.floor(((event.clientY - box.top) / box.height) * ny);
      if (x < 0 || y < 0 || x >= nx || y >= ny) return;
      cross = y * nx + x;
      for (const name of canvases.keys()) draw(name);
      reading();
    };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
  }
  const follow = () => {
    const found = /step=(\d+)/.exec(location.hash);
    const cell = /cell=(\d+)/.exec(location.hash);
    if (cell) cross = Math.min(size - 1, Number(cell[1]));
    if (found) show(Math.min(times.length - 1, Number(found[1])));
  };
  window.addEventListener("hashchange", follow);
  let width = 0;
  new ResizeObserver(() => {
    if (root.clientWidth === width) return;
    width = root.clientWidth;
    for (const name of canvases.keys()) draw(name);
  }).observe(root);
  show(0);
  follow();
})();
