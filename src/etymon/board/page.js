"use strict";
(() => {
  const table = document.getElementById("standings");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headers = [...table.querySelectorAll("th[data-index]")];
  const filter = document.getElementById("filter");
  const sorter = document.getElementById("sorter");
  const count = document.getElementById("count");
  const nothing = document.getElementById("nothing");
  const names = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

  const name = (header) => header.dataset.name ?? header.querySelector(".label").textContent.toLowerCase();

  const sort = (header, order) => {
    const index = Number(header.dataset.index);
    const sign = order === "ascending" ? 1 : -1;
    const numeric = header.dataset.kind === "number";
    const value = (row) => row.cells[index].dataset.value;
    const compare = (a, b) => {
      const [left, right] = [value(a), value(b)];
      if (left === undefined || right === undefined) {
        return (left === undefined) - (right === undefined); // what was not measured comes last, either way
      }
      return sign * (numeric ? Number(left) - Number(right) : names.compare(left, right));
    };
    body.append(...[...rows].sort(compare));
    for (const each of headers) {
      each.removeAttribute("aria-sort");
    }
    header.setAttribute("aria-sort", order);
    sorter.value = String(headers.indexOf(header));
    const end = { text: ["A to Z", "Z to A"], number: ["lowest first", "highest first"] }[header.dataset.kind];
    table.caption.textContent = `Ordered by ${name(header)}, ${end[order === "ascending" ? 0 : 1]}; what was not measured comes last.`;
  };

  const show = () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const match = wanted.every((word) => row.dataset.search.includes(word));
      row.hidden = !match;
      document.getElementById(row.dataset.model).hidden = !match;
      shown += match;
    }
    const all = rows.length;
    count.textContent = shown === all ? `${all} model${all === 1 ? "" : "s"}` : `${shown} of ${all} models`;
    nothing.hidden = shown > 0;
  };

  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) {
      target.open = true;
      target.scrollIntoView();
    }
  };

  headers.forEach((header, place) => {
    const label = header.querySelector(".label");
    const button = document.createElement("button");
    button.type = "button";
    label.replaceWith(button);
    button.append(label);
    button.addEventListener("click", () => {
      const opposite = { ascending: "descending", descending: "ascending" };
      sort(header, opposite[header.getAttribute("aria-sort")] ?? header.dataset.first);
    });
    sorter.add(new Option(name(header), String(place)));
  });
  sorter.value = String(headers.findIndex((header) => header.hasAttribute("aria-sort")));
  sorter.addEventListener("change", () => sort(headers[Number(sorter.value)], headers[Number(sorter.value)].dataset.first));
  filter.addEventListener("input", show);
  window.addEventListener("hashchange", open);
  document.querySelector(".tools").hidden = false;
  show();
  open();
})();
