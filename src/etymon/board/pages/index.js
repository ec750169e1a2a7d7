"use strict";
(() => {
  const board = JSON.parse(document.getElementById("board").textContent);
  const { rows, columns, size: most } = board;
  const $ = (id) => document.getElementById(id);
  const table = $("standings");
  const body = table.tBodies[0];
  const headers = [...table.querySelectorAll("th[data-sort]")];
  const [hasMethod, hasDate] = ["method", "date"].map((name) => rows.some((row) => row[name]));
  const boxes = [...document.querySelectorAll("#tasks input")];
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const grouped = (count) => count.toLocaleString("en");
  const MISSING = "—";
  const VERDICTS = ["", "better", "worse", "unclear"];
  const VERDICT_WORDS = ["", "clearly better", "clearly worse", "no clear difference"];
  const SIZES = [[0, "under 1B"], [1e9, "1B to 3B"], [3e9, "3B to 8B"], [8e9, "8B to 15B"], [15e9, "15B to 40B"], [40e9, "40B and more"]];

  // Cells: as the page's template makes them, from the same values.
  const element = (tag, attributes, ...content) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      made.setAttribute(name, value);
    }
    made.append(...content);
    return made;
  };
  const drawn = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) {
      made.setAttribute(name, value);
    }
    return made;
  };
  const quiet = (text) => element("span", { class: "quiet" }, text);
  const number = (value, decimals) => {
    const digits = String(Math.abs(value)).padStart(decimals + 1, "0");
    return `${value < 0 ? "−" : ""}${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
  };
  const signed = (value, decimals) => (value > 0 ? "+" : "") + number(value, decimals);
  const range = (low, high, write) => (low === null || high === null ? MISSING : `${write(low)} to ${write(high)}`);
  const tenth = (value) => Math.floor(value * 10 + 0.5) / 10;

  const strip = ([least, largest], score, low, high, base) => {
    const place = (value) => tenth(6 + ((Math.min(Math.max(value, least), largest) - least) / (largest - least)) * 188);
    const svg = drawn("svg", { class: "bar", viewBox: "0 0 200 18", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" });
    svg.append(drawn("line", { class: "track", x1: 0, x2: 200, y1: 9, y2: 9 }));
    if (base !== null) {
      svg.append(drawn("line", { class: "base", x1: place(base), x2: place(base), y1: 1, y2: 17 }));
    }
    if (score < least || score > largest) {
      svg.append(drawn("path", { class: "point", d: score < least ? "M8 4L2 9L8 14Z" : "M192 4L198 9L192 14Z" }));
    } else {
      const [left, right] = [place(low ?? score), place(high ?? score)];
      svg.append(drawn("rect", { class: "range", x: left, width: Math.max(tenth(right - left), 1), y: 6, height: 6, rx: 1.5 }));
      svg.append(drawn("line", { class: "point", x1: place(score), x2: place(score), y1: 3.5, y2: 14.5 }));
    }
    return svg;
  };

  const cells = (column, cell) => {
    const label = `${column.name}, ${column.metric}`;
    const change = cell ? cell[7] : 0;
    const made = [];
    if (cell) {
      const [, score, low, high, best, worst, of, , lines] = cell;
      const write = (value) => number(value, column.decimals);
      made.push(
        element(
          "td",
          { role: "cell", class: "score", "data-label": label },
          element("span", { class: "figure" }, write(score) + (column.percent ? "%" : "")),
          " ",
          quiet(range(low, high, write)),
          strip(column.scale, score, low, high, change ? change[5] : null),
          quiet(`rank ${best === worst ? best : `${best}–${worst}`} of ${of}`),
          ...lines.map(quiet),
        ),
      );
    } else {
      made.push(element("td", { role: "cell", class: "score missing", "data-label": label }, element("span", { class: "quiet", title: "not measured" }, MISSING)));
    }
    if (column.change && change) {
      const [, value, low, high, verdict, inherited, gained, lost, earned] = change;
      const write = (bound) => signed(bound, column.decimals);
      const td = element(
        "td",
        { role: "cell", class: "change", "data-label": "Change from base" },
        element("span", { class: "figure" }, write(value) + (column.percent ? " pp" : "")),
        " ",
        quiet(range(low, high, write)),
      );
      if (verdict) {
        td.append(element("span", { class: `verdict ${VERDICTS[verdict]}` }, VERDICT_WORDS[verdict]));
      }
      td.append(quiet(`inherited ${number(inherited, column.decimals)}${column.percent ? "%" : ""}`));
      if (gained !== null) {
        td.append(quiet(`gained ${gained} · lost ${lost}`));
      }
      if (earned) {
        td.append(quiet(earned === 1 ? "earned: not measured" : earned));
      }
      made.push(td);
    } else if (column.change) {
      made.push(element("td", { role: "cell", class: "change missing", "data-label": "Change from base" }, quiet(MISSING)));
    }
    return made;
  };

  const line = (row, chosen) => {
    const plain = (label, text, kind) => element("td", { role: "cell", ...(kind && { class: kind }), "data-label": label }, text);
    const named = (text) => element("bdi", {}, text ?? MISSING);
    const model = element(
      "th",
      { role: "rowheader", scope: "row", class: "model" },
      element("a", { href: row.page }, named(row.name)),
      " ",
      element("span", { class: "quiet" }, named(row.base)),
      ...(row.flags ?? []).map((flag) => element("span", { class: "flag" }, named(flag))),
    );
    const lineage = element("span", {}, row.lineage ?? MISSING);
    if (row.p) {
      lineage.append(" ", quiet(row.p));
    }
    return element(
      "tr",
      { role: "row" },
      model,
      ...chosen.flatMap((index) => cells(columns[index], row.cells[index])),
      plain("Tokens trained", row.tokens ?? MISSING, "number"),
      plain("Parameters", row.size, "number"),
      plain("Licence", named(row.license), "licence"),
      ...(hasMethod ? [plain("Method", named(row.method))] : []),
      plain("Lineage", lineage),
      ...(hasDate ? [plain("Date", row.date ?? MISSING, "number")] : []),
    );
  };

  // What is asked for: an order, filters, tasks, a page.
  const search = rows.map((row) => [row.name, row.base, row.method, row.license, row.lineage, row.date, ...(row.flags ?? [])].filter(Boolean).join(" ").toLowerCase());
  const sizeOf = (row) => SIZES.filter(([from]) => row.parameters >= from).length - 1;
  let ordered = rows.map((_, index) => index);
  let matching = ordered;
  let first = 0;

  const chosen = () => boxes.filter((box) => box.checked).map((box) => Number(box.dataset.column));

  const draw = () => {
    const indices = chosen();
    body.replaceChildren(...matching.slice(first, first + most).map((index) => line(rows[index], indices)));
    const [all, left] = [rows.length, matching.length];
    $("count").textContent = left === all ? `${grouped(all)} model${all === 1 ? "" : "s"}` : `${grouped(left)} of ${grouped(all)} models`;
    $("nothing").hidden = left > 0;
    document.querySelector(".pager").hidden = left <= most;
    $("place").textContent = `${grouped(first + 1)} to ${grouped(Math.min(first + most, left))} of ${grouped(left)}`;
    $("before").disabled = first === 0;
    $("after").disabled = first + most >= left;
  };

  const find = () => {
    const wanted = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const asked = ["license", "parent", "method", "lineage"].filter((name) => $(name).value).map((name) => [name, $(name).value]);
    const [size, from, to, flags] = ["size", "from", "to", "flags"].map((name) => $(name).value);
    const fits = (index) => {
      const row = rows[index];
      return (
        wanted.every((word) => search[index].includes(word)) &&
        asked.every(([name, value]) => row[name] === value) &&
        (!size || sizeOf(row) === Number(size)) &&
        (!from || (row.date ?? "") >= from) &&
        (!to || (row.date !== undefined && row.date <= to)) &&
        (!flags || Boolean(row.flagged) === (flags === "only"))
      );
    };
    matching = ordered.filter(fits);
    first = 0;
    draw();
  };

  const name = (header) => header.dataset.name ?? header.querySelector(".label").textContent.toLowerCase();

  const sort = (header, order) => {
    const { sort: by, kind, best } = header.dataset;
    const column = Number(header.dataset.column);
    const value = (row) => {
      if (kind !== "place") {
        return row[by];
      }
      const cell = row.cells[column];
      return by === "score" ? (cell ? cell[0] : undefined) : cell && cell[7] ? cell[7][0] : undefined;
    };
    const sign = (kind === "place" ? order === best : order === "ascending") ? 1 : -1;
    const keys = rows.map(value);
    const compare = (a, b) => {
      const [left, right] = [keys[a], keys[b]];
      if (left === undefined || right === undefined) {
        return (left === undefined) - (right === undefined); // what is not known comes last, either way
      }
      return sign * (kind === "text" ? collator.compare(left, right) : kind === "date" ? (left > right) - (left < right) : left - right);
    };
    ordered = rows.map((_, index) => index).sort(compare);
    for (const each of headers) {
      each.removeAttribute("aria-sort");
    }
    header.setAttribute("aria-sort", order);
    $("sorter").value = String(headers.indexOf(header));
    const ends = { text: ["A to Z", "Z to A"], date: ["oldest first", "newest first"] }[kind] ?? ["lowest first", "highest first"];
    table.caption.textContent = `Ordered by ${name(header)}, ${ends[order === "ascending" ? 0 : 1]}; what is not known comes last.`;
    find();
  };

  const showTasks = () => {
    const indices = new Set(chosen());
    for (const header of table.querySelectorAll("thead th[data-column]")) {
      header.hidden = !indices.has(Number(header.dataset.column));
    }
    const count = (list) => [...list].filter((index) => columns[index].change).length; // the overall figure is no task
    $("chosen").textContent = `${count(indices)} of ${count(columns.keys())}`;
  };

  const offer = (select, values, of) => {
    values.forEach(([value, text]) => select.add(new Option(text, value)));
    select.closest("label").hidden = new Set(rows.map(of)).size < 2; // it would separate nothing
  };

  headers.forEach((header, place) => {
    const label = header.querySelector(".label");
    const button = element("button", { type: "button" });
    label.replaceWith(button);
    button.append(label);
    button.addEventListener("click", () => {
      const opposite = { ascending: "descending", descending: "ascending" };
      sort(header, opposite[header.getAttribute("aria-sort")] ?? header.dataset.first);
    });
    $("sorter").add(new Option(name(header), String(place)));
  });
  $("sorter").value = String(headers.findIndex((header) => header.hasAttribute("aria-sort")));
  $("sorter").addEventListener("change", () => sort(headers[Number($("sorter").value)], headers[Number($("sorter").value)].dataset.first));

  for (const field of ["license", "parent", "method", "lineage"]) {
    const values = [...new Set(rows.map((row) => row[field]).filter(Boolean))].sort(collator.compare);
    offer($(field), values.map((value) => [value, value]), (row) => row[field]);
  }
  const sizes = new Set(rows.map(sizeOf));
  offer($("size"), SIZES.map(([, text], index) => [String(index), text]).filter(([index]) => sizes.has(Number(index))), sizeOf);
  $("flags").closest("label").hidden = !rows.some((row) => row.flagged);
  for (const label of document.querySelectorAll(".dated")) {
    label.hidden = !hasDate;
  }
  $("filters").hidden = document.querySelectorAll("#filters label:not([hidden])").length === 0;
  $("tasks").hidden = columns.length < 2;

  const controls = [...document.querySelectorAll("#filters select, #filters input")];
  $("search").addEventListener("input", find);
  controls.forEach((control) => control.addEventListener("input", find));
  $("clear").addEventListener("click", () => {
    controls.forEach((control) => (control.value = ""));
    find();
  });
  boxes.forEach((box) =>
    box.addEventListener("change", () => {
      showTasks();
      draw();
    }),
  );
  const turn = (by) => {
    first += by * most;
    draw();
    document.querySelector(".frame").scrollIntoView();
  };
  $("before").addEventListener("click", () => turn(-1));
  $("after").addEventListener("click", () => turn(1));
  showTasks();
  document.querySelector(".tools").hidden = false;
  if (rows.length > most) {
    document.querySelector(".pager").hidden = false;
  }
  $("count").textContent = `${grouped(rows.length)} model${rows.length === 1 ? "" : "s"}`;
  $("place").textContent = `1 to ${Math.min(most, rows.length)} of ${grouped(rows.length)}`;
  $("before").disabled = true;
  performance.mark("ready");
})();
