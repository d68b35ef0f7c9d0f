"use strict";
// Sorts and filters the cases, and tells where a number of a table comes from. Without it everything is still shown.
(() => {
  const form = document.getElementById("filters");
  const gallery = document.getElementById("gallery");

  // The state is in the address (#class=glioma&model=vgg16&sort=iou), so that a view can be linked.
  const fields = ["class", "model", "pick", "correct", "min", "max", "sort"];
  const cases = gallery ? [...gallery.children] : [];

  const order = {
    "iou": (a, b) => b.dataset.iou - a.dataset.iou,
    "-iou": (a, b) => a.dataset.iou - b.dataset.iou,
    "image": (a, b) => (a.dataset.image < b.dataset.image ? -1 : a.dataset.image > b.dataset.image ? 1 : 0),
    "": () => 0,
  };

  const show = () => {
    const wanted = Object.fromEntries(fields.map((name) => [name, form.elements[name].value]));
    const fits = ({ dataset }) =>
      (!wanted.class || dataset.class === wanted.class) &&
      (!wanted.model || dataset.model === wanted.model) &&
      (!wanted.pick || dataset.pick === wanted.pick || (wanted.pick === "extreme" && dataset.pick !== "further")) &&
      (!wanted.correct || dataset.correct === wanted.correct) &&
      (wanted.min === "" || Number(dataset.iou) >= Number(wanted.min)) &&
      (wanted.max === "" || Number(dataset.iou) <= Number(wanted.max));
    let shown = 0;
    for (const article of cases) {
      article.hidden = !fits(article);
      shown += article.hidden ? 0 : 1;
    }
    const compare = order[wanted.sort] || order[""];
    const sorted = [...cases].sort((a, b) => compare(a, b) || a.dataset.order - b.dataset.order);
    gallery.append(...sorted);
    document.getElementById("count").textContent = `${shown} of ${cases.length} cases`;
  };

  const read = () => {
    const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
    for (const name of fields) {
      form.elements[name].value = state.get(name) || "";
    }
    show();
    if (state.size > 0) {
      document.getElementById("cases").scrollIntoView();
    }
  };

  const write = () => {
    const state = new URLSearchParams();
    for (const name of fields) {
      if (form.elements[name].value) {
        state.set(name, form.elements[name].value);
      }
    }
    history.replaceState(null, "", state.size > 0 ? `#${state}` : "#cases");
    show();
  };

  if (form && gallery) {
    form.hidden = false;
    form.addEventListener("input", write);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(write));
    window.addEventListener("hashchange", () => {
      if (location.hash.includes("=")) {
        read();
      }
    });
    read();
  }

  const data = document.getElementById("provenance-data");
  if (!data) {
    return;
  }
  const nodes = JSON.parse(data.textContent);
  document.body.classList.add("traced");

  const find = document.getElementById("find-node");
  const entries = [...document.querySelectorAll("#nodes > li")];
  find.addEventListener("input", () => {
    const text = find.value.trim().toLowerCase();
    entries.forEach((entry) => (entry.hidden = !entry.textContent.toLowerCase().includes(text)));
  });

  // The nodes that a table reads and that have the labels of a cell. A node that does not vary along an axis fits all of
  // its labels; labels that no input has (a class, a metric, a merged name) choose rows within the inputs.
  const sources = (table, labels) => {
    const kept = Object.entries(table.params.only || {});
    const isKept = (node) => kept.every(([axis, wanted]) => {
      const own = node.point.find(([name]) => name === axis);
      return !own || wanted.includes(own[1]);
    });
    const inputs = table.inputs.map((index) => nodes[index]).filter(isKept);
    const known = (label) => inputs.some((node) => node.point.some(([, other]) => other === label));
    const fits = (node) =>
      labels.every(([axis, label]) => {
        if (!known(label)) {
          return true;
        }
        const own = node.point.find(([name]) => name === axis);
        return own ? own[1] === label : node.point.some(([, other]) => other === label);
      });
    return inputs.filter(fits);
  };

  const element = (tag, text, ...children) => {
    const made = document.createElement(tag);
    made.textContent = text;
    made.append(...children);
    return made;
  };

  const card = (node) => {
    const list = element("dl", "");
    list.className = "list";
    const add = (name, value) => list.append(element("div", "", element("dt", name), element("dd", "", element("code", value))));
    add("key", node.key);
    add("params", JSON.stringify(node.params));
    node.outputs.forEach(([name, digest]) => add(`output ${name}`, digest));
    add("ran on", `${node.device}, ${(node.elapsed_ms / 1000).toFixed(2)} s`);
    return element("details", "", element("summary", node.name), list);
  };

  const dialog = document.createElement("dialog");
  document.body.append(dialog);
  const tell = (cell) => {
    const digest = cell.closest("[data-source]").dataset.source;
    const table = nodes.find((node) => node.outputs.some(([, output]) => output === digest));
    if (!table) {
      return;
    }
    const labels = JSON.parse(cell.dataset.cell);
    const close = element("form", "", element("button", "Close"));
    close.method = "dialog";
    const found = sources(table, labels);
    dialog.replaceChildren(
      close,
      element("h3", `${cell.innerText.trim().split("\n")[0]} at ${labels.map(([axis, label]) => `${axis} ${label}`).join(", ")}`),
      element("p", `Laid out by ${table.name}, from ${found.length} ${found.length === 1 ? "node" : "nodes"}:`),
      card(table),
      ...found.map(card),
    );
    dialog.showModal();
  };
  for (const cell of document.querySelectorAll("td[data-cell]")) {
    cell.tabIndex = 0;
    cell.setAttribute("role", "button");
    cell.addEventListener("click", () => tell(cell));
    cell.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        tell(cell);
      }
    });
  }
})();
