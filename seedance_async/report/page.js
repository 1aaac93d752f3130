"use strict";
// Text from jobs gets into the page by textContent and by attributes set one by one, never as
// markup. What is long (cards, rows, pictures) is made a piece at a time, as it comes into sight.
(() => {
  const CARDS = 48, ROWS = 120, GROUPED = 50;
  const STATES = ["failed", "unknown", "submitted", "submitting", "planned", "completed"];
  const PHASES = ["waiting", "queued", "processing", "download"];
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const jobs = facts.jobs;
  const $ = (id) => document.getElementById(id);

  // --- making elements ---------------------------------------------------------------------

  function el(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "on") for (const [type, listen] of Object.entries(value)) made.addEventListener(type, listen);
      else if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }
  const SVG = "http://www.w3.org/2000/svg";
  function svg(name, attributes, ...children) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // --- spelling values ---------------------------------------------------------------------

  const whole = (number) => number.toLocaleString("en");
  const money = (amount) => amount.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const count = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;
  const brief = (seconds) => `${Number(seconds.toFixed(1))}\u00a0s`;
  function span(seconds) {
    if (seconds < 60) return seconds < 10 ? brief(seconds) : `${Math.round(seconds)}\u00a0s`;
    const all = Math.round(seconds), two = (number) => String(number).padStart(2, "0");
    const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60];
    return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
  }
  const moment = (unix) => new Date(unix * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
  const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
  const isMadeUp = (key) => /^[0-9a-f]{16}-\d+$/.test(key);
  const label = (job) => job.name || (isMadeUp(job.key) ? `#${job.place + 1}` : job.key);
  const called = (job) => job.name || (job.prompt && short(job.prompt.replace(/\s+/g, " "), 60)) || label(job);
  const model = (job) => job.model.replace(/^seedance_/, "").replace("_", ".").replaceAll("_", " ");
  const phases = (job) => (job.spans || []).map(([phase, , length]) => `${phase} ${span(length)}`).join(", ");
  const settings = (job) => [model(job), brief(job.duration), job.ratio, job.audio ? "sound" : "silent", ...(job.references || [])].join(" · ");

  // --- which jobs, in which order ----------------------------------------------------------

  jobs.forEach((job, place) => { job.place = place; });
  const words = (job) => (job.words ??= [job.prompt, job.name, job.key, job.task, job.error, job.file && decodeURIComponent(job.file)].filter(Boolean).join("\n").toLowerCase());
  const SORTS = {
    place: (job) => job.place,
    took: (job) => job.took,
    length: (job) => job.length,
    tokens: (job) => job.tokens,
    polls: (job) => job.polls,
    state: (job) => STATES.indexOf(job.state),
  };
  let shown = jobs;
  let descending = false;

  function choose() {
    const wanted = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [state, kind, by] = [$("state").value, $("model").value, SORTS[$("sort").value]];
    const left = jobs.filter((job) => (!state || job.state === state) && (!kind || job.model === kind)
      && wanted.every((word) => words(job).includes(word)));
    const way = descending ? -1 : 1;
    // What a job does not have comes last, whichever way.
    return left.sort((a, b) => {
      const [x, y] = [by(a), by(b)];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined) || a.place - b.place;
      return way * (x - y) || a.place - b.place;
    });
  }

  // --- lists that grow as one comes to their end -------------------------------------------

  function growing(list, items, make, step) {
    let made = 0;
    const more = el("button", { class: "more", type: "button" });
    const grow = () => {
      const next = items.slice(made, made + step);
      list.append(...next.map(make));
      made += next.length;
      more.hidden = made >= items.length;
      more.textContent = `Show ${Math.min(step, items.length - made)} more of ${whole(items.length - made)}`;
    };
    more.addEventListener("click", () => {
      const first = made;
      grow();
      list.children[first]?.querySelector("button")?.focus();
    });
    const watch = new IntersectionObserver((seen) => {
      if (!list.isConnected) watch.disconnect();
      else if (seen.some((each) => each.isIntersecting) && made < items.length) {
        grow();
        // Asked anew: the end may still be in sight, and is told of only when that changes.
        watch.unobserve(more);
        watch.observe(more);
      }
    }, { rootMargin: "600px" });
    grow();
    watch.observe(more);
    return [list, more];
  }

  // --- pictures and films ------------------------------------------------------------------

  let pictures = null; // they stand behind this script: what can be used is there before them
  function setPicture(poster) {
    const picture = pictures?.[poster.dataset.place];
    if (picture) {
      poster.querySelector("img")?.remove();
      poster.querySelector(".tile")?.remove();
      poster.prepend(el("img", { src: `data:image/webp;base64,${picture}`, alt: "", decoding: "async" }));
    }
  }

  let preview = null;
  function stopPreview() {
    if (!preview) return;
    preview.poster.classList.remove("playing");
    preview.film.pause();
    preview.film.removeAttribute("src");
    preview.film.load(); // lets go of the file
    preview.film.remove();
    preview = null;
  }
  function startPreview(poster, job) {
    stopPreview();
    const film = el("video", { loop: true, playsinline: true, tabindex: "-1", "aria-hidden": "true" });
    film.muted = true;
    film.src = job.file;
    poster.append(film);
    poster.classList.add("playing");
    preview = { poster, film };
    film.play().catch(() => { if (preview?.film === film) stopPreview(); });
  }

  const TILES = { failed: "failed", unknown: "not known whether it was made", planned: "not sent yet", submitting: "being sent", submitted: "being made" };
  const tile = (job) => (job.file ? "video" : job.missing ? `${job.missing} is not there any more` : TILES[job.state] || "not downloaded");

  function posterOf(job) {
    const poster = el("button", {
      type: "button", class: "poster", "data-place": job.place,
      "aria-label": `${job.file ? "Play" : "Details of"} ${called(job)}`,
    }, el("span", { class: "tile" }, tile(job)));
    if (job.length) poster.append(el("span", { class: "length" }, brief(job.length)));
    setPicture(poster);
    let resting = 0;
    if (job.file) {
      poster.append(el("span", { class: "play" }));
      const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
      poster.addEventListener("pointerenter", (event) => {
        // A pointer that only passes by opens no file.
        if (event.pointerType === "mouse" && !isStill()) resting = setTimeout(startPreview, 120, poster, job);
      });
      poster.addEventListener("pointerleave", (event) => {
        clearTimeout(resting);
        if (event.pointerType === "mouse" && preview?.poster === poster) stopPreview();
      });
    }
    poster.addEventListener("click", (event) => {
      clearTimeout(resting);
      const isFirstTap = event.pointerType === "touch" && job.file && preview?.poster !== poster;
      if (isFirstTap) startPreview(poster, job);
      else open(job);
    });
    return poster;
  }

  const stateOf = (job) => el("span", { class: `state ${job.state}` }, job.state);
  const promptOf = (job) => (job.prompt === undefined ? null : el("p", { class: "prompt", dir: "auto" }, job.prompt));

  function card(job) {
    const took = job.took === undefined ? "" : ` · made in ${span(job.took)}`;
    return el("li", { class: "card" }, posterOf(job), el("div", { class: "about" },
      el("div", { class: "head" }, el("span", { class: "name", dir: "auto", title: label(job) }, label(job)), stateOf(job)),
      promptOf(job),
      job.error ? el("p", { class: "error", dir: "auto" }, job.error) : null,
      el("p", { class: "meta" }, settings(job) + took)));
  }

  function drawVideos(panel) {
    stopPreview();
    if (!shown.length) return panel.replaceChildren(nothing());
    const list = el("ol", { class: "gallery", "aria-label": "Jobs" });
    panel.replaceChildren(list, ...growing(list, shown, card, CARDS).slice(1));
  }
  const nothing = () => el("p", { class: "note" }, jobs.length ? "No job is like that. Change the search or the filters." : "The journal has no jobs.");

  // --- one job, wholly ---------------------------------------------------------------------

  const player = $("player");
  let current = null;

  function detail(job) {
    const size = job.size === undefined ? "" : ` (${(job.size / 2 ** 20).toFixed(1)} MiB)`;
    const rows = {
      Key: job.key,
      Task: job.task && `${job.task}${job.status ? ` (${job.status})` : ""}`,
      Model: job.model,
      Settings: settings(job).split(" · ").slice(1).join(", "),
      "Rules waived": job.waive?.join(", "),
      Length: job.length && brief(job.length),
      Tokens: job.tokens !== undefined ? whole(job.tokens) : undefined,
      Cost: job.cost !== undefined ? `${money(job.cost)} ${facts.currency}`.trim() : undefined,
      Planned: moment(job.planned),
      Accepted: job.submitted && moment(job.submitted),
      Ended: job.ended && moment(job.ended),
      "Made in": job.took !== undefined ? span(job.took) : undefined,
      Time: phases(job),
      Polls: job.polls,
      Creates: job.attempts > 1 ? job.attempts : undefined,
      File: job.file ? decodeURIComponent(job.file) + size : job.missing && `${job.missing} (missing)`,
    };
    const list = el("dl");
    for (const [name, value] of Object.entries(rows)) {
      if (value !== undefined && value !== "" && value !== null) list.append(el("dt", {}, name), el("dd", { dir: "auto" }, String(value)));
    }
    if (job.url) {
      list.append(el("dt", {}, "Provider"), el("dd", {}, el("a", { href: job.url, rel: "noreferrer" }, `the video, kept until ${moment(job.expires)}`)));
    }
    return list;
  }

  function draw(job) {
    current = job;
    const film = job.file ? el("video", { controls: true, playsinline: true, loop: true, src: job.file, "aria-label": `Video: ${called(job)}` }) : null;
    if (film) film.addEventListener("error", () => film.replaceWith(el("p", { class: "note" }, "This video cannot be played here.")));
    const step = (by, words) => {
      const place = shown.indexOf(job) + by;
      const next = shown.indexOf(job) < 0 ? undefined : shown[place];
      return el("button", { type: "button", disabled: !next, "aria-label": words, "data-step": by, on: { click: () => go(by) } }, by < 0 ? "‹" : "›");
    };
    player.replaceChildren(el("div", { class: "sheet" },
      el("header", {}, el("h2", { id: "player-title", dir: "auto" }, called(job)), stateOf(job), step(-1, "Previous job"), step(1, "Next job"),
        el("button", { type: "button", on: { click: () => player.close() } }, "Close")),
      el("div", { class: "stage" }, film || el("p", { class: "note" }, tile(job))),
      el("div", { class: "words" }, promptOf(job), job.error ? el("p", { class: "error", dir: "auto" }, job.error) : null, detail(job))));
    film?.play().catch(() => {}); // browsers may want another click first
  }
  function go(by) {
    const place = shown.indexOf(current);
    if (place < 0 || !shown[place + by]) return;
    draw(shown[place + by]);
    const again = player.querySelector(`[data-step="${by}"]`);
    (again.disabled ? player.querySelector("[data-step]:not(:disabled)") : again)?.focus();
  }
  function open(job) {
    stopPreview();
    draw(job);
    player.showModal();
    player.scrollTop = 0;
  }
  player.addEventListener("close", () => player.replaceChildren());
  player.addEventListener("click", (event) => { if (event.target === player) player.close(); });
  player.addEventListener("keydown", (event) => {
    if (event.target.closest("video")) return; // there the arrows seek
    if (event.key === "ArrowLeft") go(-1);
    if (event.key === "ArrowRight") go(1);
  });
  const link = (job) => el("button", { type: "button", class: "link", dir: "auto", title: called(job), on: { click: () => open(job) } }, el("span", { class: "number" }, `${whole(job.place + 1)} `), called(job));

  // --- failures, by their reasons ----------------------------------------------------------

  function drawFailures(panel) {
    const groups = new Map();
    for (const job of shown) {
      if (job.state !== "failed" && job.state !== "unknown") continue;
      const reason = job.reason || "no reason given";
      const name = `${job.state}\n${reason}`;
      if (!groups.has(name)) groups.set(name, { state: job.state, reason, jobs: [] });
      groups.get(name).jobs.push(job);
    }
    const sorted = [...groups.values()].sort((a, b) => b.jobs.length - a.jobs.length);
    panel.replaceChildren(...sorted.map((group) => {
      const list = el("ul");
      return el("details", { class: "group", open: sorted.length < 6 }, el("summary", {},
        el("b", {}, `${count(group.jobs.length, "job")} `), el("span", { class: `state ${group.state}` }, group.state), " ", el("span", { dir: "auto" }, group.reason)),
      ...growing(list, group.jobs, (job) => el("li", {}, link(job)), GROUPED));
    }));
    if (!sorted.length) panel.append(el("p", { class: "note" }, shown.length ? "None of these jobs failed." : nothing().textContent));
  }

  // --- where the time went -----------------------------------------------------------------

  let lining = "clock";

  // A scale from seconds to parts of the width. Nights between runs, when no job was worked on,
  // become narrow: they would leave no room for the rest.
  function clockScale(list) {
    const worked = list.flatMap((job) => (job.spans || []).filter(([phase]) => phase !== "waiting").map(([, at, length]) => [at, at + length]));
    const waited = list.flatMap((job) => (job.spans || []).map(([, at]) => at));
    worked.sort((a, b) => a[0] - b[0]);
    const runs = [];
    for (const [from, to] of worked) {
      const last = runs.at(-1);
      if (last && from - last[1] <= 0) last[1] = Math.max(last[1], to);
      else runs.push([from, to]);
    }
    if (!runs.length) return null;
    runs[0][0] = waited.reduce((least, at) => Math.min(least, at), runs[0][0]);
    const sum = runs.reduce((total, [from, to]) => total + to - from, 0) || 1;
    const pieces = [];
    for (const [from, to] of runs) {
      const before = pieces.at(-1);
      if (before && from - before.to < Math.max(sum / 10, 60)) before.to = to;
      else pieces.push({ from, to });
    }
    const total = pieces.reduce((all, piece) => all + piece.to - piece.from, 0) || 1;
    const gap = pieces.length > 1 ? Math.min(0.02, 0.2 / (pieces.length - 1)) : 0;
    const room = 1 - gap * (pieces.length - 1);
    let x = 0;
    for (const piece of pieces) {
      piece.x = x;
      piece.width = room * (piece.to - piece.from) / total;
      x += piece.width + gap;
    }
    const scale = (at) => {
      let place = 0;
      for (const piece of pieces) {
        if (at < piece.from) return Math.max(piece.x - gap / 2, 0);
        place = piece.x + piece.width * Math.min((at - piece.from) / (piece.to - piece.from || 1), 1);
        if (at <= piece.to) return place;
      }
      return place;
    };
    return { scale, pieces, gap };
  }

  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const stepFor = (length, ticks) => STEPS.find((step) => length / step <= ticks) || Math.ceil(length / ticks / 86400) * 86400;

  function ticks(length, wanted) {
    const step = stepFor(length, wanted), found = [];
    for (let number = 0; number * step <= length; number += 1) found.push(number * step);
    return found;
  }

  function axis(marks) {
    const track = el("div", { class: "track", "aria-hidden": "true" });
    for (const [x, text, kind] of marks) {
      const mark = el("span", { class: kind || (x > 0.93 ? "last" : "inner") }, text);
      mark.style.left = `${x * 100}%`;
      track.append(mark);
    }
    return el("div", { class: "axis" }, el("div"), track, el("div"));
  }

  function drawTimeline(panel) {
    const list = shown.filter((job) => job.spans?.length);
    const ways = el("select", { id: "lining" }, ...[["clock", "the clock"], ["start", "each job's start"]].map(([value, text]) => el("option", { value, selected: value === lining }, text)));
    ways.addEventListener("change", () => { lining = ways.value; drawTimeline(panel); $("lining").focus(); });
    const key = el("div", { class: "keyline" }, ...PHASES.map((phase) => el("span", { class: `key ${phase}` }, phase)), el("div", { class: "line" }, el("label", { for: "lining" }, "Line up by"), ways));
    const clock = clockScale(list);
    if (!list.length) return panel.replaceChildren(nothing());
    let place, breaks = [], marks;
    if (lining === "clock" && clock) {
      place = (job) => clock.scale;
      breaks = clock.pieces.slice(1).map((piece) => piece.x - clock.gap / 2);
      const isDay = clock.pieces.length > 1 || clock.pieces[0].to - clock.pieces[0].from > 86400;
      const time = (unix) => new Date(unix * 1000).toLocaleTimeString([], isDay ? { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" } : { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
      marks = clock.pieces.filter((piece, number) => number === 0 || piece.width > 0.12).flatMap((piece) => {
        const inner = ticks(piece.to - piece.from, Math.max(Math.floor(7 * piece.width), 1)).slice(1).map((at) => [clock.scale(piece.from + at), time(piece.from + at)]);
        return [[piece.x, time(piece.from), "first"], ...inner.filter(([x]) => x > piece.x + 0.13 && x < piece.x + piece.width - 0.07)];
      });
    } else {
      // What only waits has no start, and no bar.
      const begins = (job) => job.spans.find(([phase]) => phase !== "waiting")?.[1] ?? Infinity;
      const ends = list.map((job) => Math.max(job.spans.at(-1)[1] + job.spans.at(-1)[2] - begins(job), 0)).sort((a, b) => a - b);
      // One job that took a night must not make dots of all others.
      const longest = Math.min(ends.at(-1), 2 * quantile(ends, 0.9)) || ends.at(-1) || 1;
      place = (job) => (at) => Math.min(Math.max((at - begins(job)) / longest, 0), 1);
      marks = ticks(longest, 7).map((at) => [at / longest, span(at), at ? "" : "first"]);
    }
    const row = (job) => {
      const track = el("div", { class: "track", "aria-hidden": "true" });
      for (const x of breaks) {
        const line = el("i", { class: "break" });
        line.style.left = `${x * 100}%`;
        track.append(line);
      }
      for (const [phase, at, length] of job.spans) {
        const [from, to] = [place(job)(at), place(job)(at + length)];
        if (lining === "start" && phase === "waiting" && to === 0) continue;
        const bar = el("i", { class: phase, title: `${phase} ${span(length)}` });
        bar.style.left = `${from * 100}%`;
        bar.style.width = `${(to - from) * 100}%`;
        track.append(bar);
      }
      return el("li", { class: "row" }, link(job), el("div", {}, track, el("span", { class: "unseen" }, phases(job))), el("span", { class: "sum" }, job.took !== undefined ? span(job.took) : job.state));
    };
    const rows = el("ol", { "aria-label": "Phases of each job" });
    const grown = growing(rows, list, row, ROWS);
    panel.replaceChildren(key, el("div", { class: "rows" }, axis(marks), rows), ...grown.slice(1));
  }

  // --- charts ------------------------------------------------------------------------------

  const quantile = (sorted, share) => sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)];

  // Bars from 0 to the last edge; *labels* are [position in bars, text].
  function bars(counts, labels, told, { kind = "", median } = {}) {
    const [width, height, foot] = [640, 110, 22];
    const most = Math.max(...counts, 1), each = width / counts.length;
    const drawn = svg("svg", { viewBox: `0 0 ${width} ${height + foot}`, role: "img", "aria-label": told, class: kind });
    drawn.append(svg("line", { x1: 0, y1: height, x2: width, y2: height }));
    counts.forEach((number, place) => {
      const tall = number ? Math.max((number / most) * (height - 16), 2) : 0;
      if (number) {
        const bar = svg("rect", { x: place * each + 1, y: height - tall, width: Math.max(each - 2, 1), height: tall, rx: 2 });
        bar.append(svg("title", {}, String(number)));
        drawn.append(bar);
      }
      if (number === most) drawn.append(svg("text", { x: (place + 0.5) * each, y: height - tall - 4, "text-anchor": "middle" }, whole(number)));
    });
    if (median !== undefined) drawn.append(svg("line", { class: "median", x1: median * each, y1: 16, x2: median * each, y2: height }));
    for (const [place, text] of labels) {
      const x = place * each, anchor = x < 12 ? "start" : x > width - 12 ? "end" : "middle";
      drawn.append(svg("text", { x, y: height + 16, "text-anchor": anchor }, text));
    }
    return drawn;
  }

  function table(head, rows) {
    return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Figures" }, el("table", {}, el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))),
      el("tbody", {}, ...rows.map(([first, ...others]) => el("tr", {}, el("th", { scope: "row" }, first), ...others.map((text) => el("td", {}, text)))))));
  }

  function byModel(list) {
    const groups = new Map();
    for (const job of list) {
      if (!groups.has(job.model)) groups.set(job.model, []);
      groups.get(job.model).push(job);
    }
    return [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  function timesChart(made) {
    const longest = made.reduce((most, job) => Math.max(most, job.took), 0.1);
    const step = stepFor(longest, 30), bins = Math.floor(longest / step) + 1;
    const labels = ticks(bins * step, 6).map((at) => [at / step, span(at)]);
    const chart = el("section", { class: "chart", "aria-label": "Completion times" }, el("h2", {}, "Completion times"),
      el("p", { class: "quiet" }, "From the create that was accepted to the query that saw the end; dashed is the median."));
    const rows = [];
    for (const [name, list] of byModel(made)) {
      const times = list.map((job) => job.took).sort((a, b) => a - b);
      const counts = new Array(bins).fill(0);
      for (const took of times) counts[Math.floor(took / step)] += 1;
      const [median, late] = [quantile(times, 0.5), quantile(times, 0.9)];
      rows.push([name, whole(times.length), span(median), span(late), span(times[0]), span(times.at(-1))]);
      const told = `${name}: ${count(times.length, "video")}, half of them within ${span(median)}, nine in ten within ${span(late)}`;
      chart.append(el("h3", {}, name), bars(counts, labels, told, { median: median / step }));
    }
    chart.append(table(["Model", "Videos", "Median", "9 in 10", "Least", "Most"], rows));
    return chart;
  }

  function pollsChart(asked) {
    const most = asked.reduce((known, job) => Math.max(known, job.polls), 0);
    const step = Math.max(1, Math.ceil((most + 1) / 24));
    const counts = new Array(Math.floor(most / step) + 1).fill(0);
    let sum = 0;
    for (const job of asked) {
      counts[Math.floor(job.polls / step)] += 1;
      sum += job.polls;
    }
    const every = Math.max(1, Math.ceil(counts.length / 12));
    const labels = counts.map((_, place) => [place + 0.5, step === 1 ? `${place}` : `${place * step}–${place * step + step - 1}`]).filter((_, place) => place % every === 0);
    const mean = (sum / asked.length).toFixed(1);
    const told = `${count(sum, "poll")} for ${count(asked.length, "job")}, ${mean} on the average, ${most} at the most`;
    return el("section", { class: "chart", "aria-label": "Polls per job" }, el("h2", {}, "Polls per job"), el("p", { class: "quiet" }, `${told}.`),
      el("h3", {}, "Jobs by how often they were asked about"), bars(counts, labels, told, { kind: "polls" }));
  }

  function drawCharts(panel) {
    const made = shown.filter((job) => job.took !== undefined), asked = shown.filter((job) => job.polls);
    if (!made.length && !asked.length) return panel.replaceChildren(el("p", { class: "note" }, "There is nothing to draw yet: no job has ended."));
    panel.replaceChildren(el("div", { class: "charts" }, made.length ? timesChart(made) : null, asked.length ? pollsChart(asked) : null));
  }

  // --- the views ---------------------------------------------------------------------------

  const VIEWS = { videos: drawVideos, failures: drawFailures, timeline: drawTimeline, charts: drawCharts };
  const tabs = Object.keys(VIEWS).map((name) => $(`tab-${name}`));
  let view = "videos";
  const stale = new Set(Object.keys(VIEWS));

  function show(name) {
    view = name;
    for (const tab of tabs) {
      const isIt = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", String(isIt));
      tab.tabIndex = isIt ? 0 : -1;
      $(tab.getAttribute("aria-controls")).hidden = !isIt;
    }
    if (name !== "videos") stopPreview();
    if (stale.delete(name)) VIEWS[name]($(name));
  }
  function refresh() {
    shown = choose();
    for (const name of Object.keys(VIEWS)) stale.add(name);
    $("count").textContent = shown.length === jobs.length ? count(jobs.length, "job") : `${whole(shown.length)} of ${count(jobs.length, "job")}`;
    show(view);
  }

  for (const [place, tab] of tabs.entries()) {
    tab.addEventListener("click", () => show(tab.getAttribute("aria-controls")));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = tabs[(to + tabs.length) % tabs.length];
      next.focus();
      show(next.getAttribute("aria-controls"));
    });
  }
  $("tools").addEventListener("submit", (event) => event.preventDefault());
  $("search").addEventListener("input", refresh);
  for (const id of ["state", "model", "sort"]) $(id).addEventListener("change", refresh);
  $("turn").addEventListener("click", () => {
    descending = !descending;
    $("turn").setAttribute("aria-pressed", String(descending));
    refresh();
  });

  // --- light and dark ----------------------------------------------------------------------

  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const tellTheme = () => $("theme").setAttribute("aria-pressed", String(isDark()));
  const kept = (use) => { try { return use(localStorage); } catch { return null; } }; // a file may have none
  root.dataset.theme = kept((store) => store.getItem("seedance-theme")) || "";
  $("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept((store) => store.setItem("seedance-theme", root.dataset.theme));
    tellTheme();
  });
  dark.addEventListener("change", tellTheme);
  tellTheme();

  // --- what stands there from the beginning ------------------------------------------------

  function total(name, value, kind = "") {
    return el("div", { class: kind }, el("dt", {}, name), el("dd", {}, value));
  }
  const sums = facts.totals, kinds = { completed: "good", failed: "bad", unknown: "odd" };
  $("totals").append(
    total("jobs", whole(sums.jobs)),
    ...["completed", "failed", "unknown", "submitted", "submitting", "planned"].filter((state) => sums.states[state]).map((state) => total(state, whole(sums.states[state]), kinds[state])),
    total("on disk", whole(sums.on_disk)),
    ...(sums.missing ? [total("files missing", whole(sums.missing), "bad")] : []),
    total("of video", span(sums.length)),
    total("tokens", whole(sums.tokens)),
    ...(sums.cost === undefined ? [] : [total(facts.currency || "cost", money(sums.cost))]),
    total("at work", span(sums.busy)),
    total("polls", whole(sums.polls)),
  );
  $("when").textContent = `${facts.journal}, as of ${moment(facts.at)}${facts.running ? ", while it was running" : ""}`;
  for (const state of STATES.filter((each) => sums.states[each])) $("state").append(el("option", { value: state }, `${state} (${whole(sums.states[state])})`));
  for (const [name, list] of byModel(jobs)) $("model").append(el("option", { value: name }, `${name} (${whole(list.length)})`));
  if (!facts.prompts) $("search").placeholder = "name, key, task, error";
  $("tab-failures").textContent = `Failures (${whole((sums.states.failed || 0) + (sums.states.unknown || 0))})`;
  refresh();
  performance.mark("seedance:ready");

  document.addEventListener("DOMContentLoaded", () => {
    pictures = JSON.parse($("pictures").textContent);
    for (const poster of document.querySelectorAll(".poster")) setPicture(poster);
    performance.mark("seedance:pictures");
  });
})();
