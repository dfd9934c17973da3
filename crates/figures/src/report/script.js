"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // Light or dark: what the system says, until the reader says otherwise.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  // A browser may refuse storage to files.
  const remember = (value) => { try { localStorage.setItem("ddpm-theme", value); } catch { } };
  try {
    const kept = localStorage.getItem("ddpm-theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch { }

  function wireTheme() {
    const button = document.getElementById("theme");
    const tell = () => button.setAttribute("aria-pressed", isDark());
    button.addEventListener("click", () => {
      const wanted = isDark() ? "light" : "dark";
      if ((wanted === "dark") === system.matches) delete root.dataset.theme;
      else root.dataset.theme = wanted;
      remember(root.dataset.theme || "");
      tell();
    });
    system.addEventListener("change", tell);
    tell();
  }

  function wireContents() {
    const [menu, contents] = [document.getElementById("menu"), document.getElementById("contents")];
    const show = (open) => {
      contents.classList.toggle("open", open);
      menu.setAttribute("aria-expanded", open);
    };
    menu.addEventListener("click", () => show(!contents.classList.contains("open")));
    contents.addEventListener("click", (event) => { if (event.target.closest("a")) show(false); });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !contents.classList.contains("open")) return;
      show(false);
      menu.focus();
    });
    // The section at the top of the window is marked.
    const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
    const seen = new IntersectionObserver((entries) => {
      const entered = entries.find((entry) => entry.isIntersecting);
      if (!entered) return;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entered.target.id).setAttribute("aria-current", "true");
    }, { rootMargin: "-10% 0px -80%" });
    for (const id of links.keys()) seen.observe(document.getElementById(id));
  }

  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

  function wireSlider(figure) {
    const sheet = figure.querySelector(".sheet img");
    const frames = [...figure.querySelectorAll(".frames li")];
    const labels = figure.querySelector(".labels");
    const { width, height, rows, columns, label } = figure.dataset;
    const [w, h, m, n] = [width, height, rows, columns].map(Number);
    const gap = Math.max(1, Math.round(w / 28));

    const stage = make("div", { className: "stage" });
    const names = labels ? make("div") : null;
    const canvas = make("canvas");
    canvas.setAttribute("role", "img");
    stage.append(...(names ? [names] : []), canvas);
    const range = make("input", { type: "range", min: 0, max: frames.length - 1, step: 1, value: figure.dataset.start });
    range.setAttribute("aria-label", label);
    const play = make("button", { type: "button", textContent: "Play" });
    play.setAttribute("aria-label", `Play: ${label}`);
    const controls = make("div", { className: "controls" });
    controls.append(play, range);
    const told = make("p", { className: "told" });
    figure.prepend(stage, controls, told);

    // On a phone a row of images is broken into two.
    const narrow = matchMedia("(max-width: 40rem)");
    let across = n;
    const layOut = () => {
      across = narrow.matches ? Math.ceil(n / 2) : n;
      const bands = Math.ceil(n / across);
      canvas.width = across * (w + gap) - gap;
      canvas.height = bands * m * (h + gap) - gap;
      if (names) names.innerHTML = labels.innerHTML.repeat(bands);
    };

    const context = canvas.getContext("2d");
    const draw = () => {
      const frame = Number(range.value);
      context.clearRect(0, 0, canvas.width, canvas.height);
      for (let cell = 0; cell < m * n; cell++) {
        const [row, column] = [Math.floor(cell / n), cell % n];
        const [x, y] = [column % across, Math.floor(column / across) * m + row];
        context.drawImage(sheet, frame * w, cell * h, w, h, x * (w + gap), y * (h + gap), w, h);
      }
      told.innerHTML = frames[frame].innerHTML;
      const name = frames[frame].querySelector("b").textContent;
      range.setAttribute("aria-valuetext", name);
      canvas.setAttribute("aria-label", `${sheet.alt}: ${name}`);
    };

    // Readers who want little motion get a slow sequence of pictures.
    const pause = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 120;
    let timer = 0;
    const stop = () => {
      clearInterval(timer);
      timer = 0;
      play.textContent = "Play";
      play.setAttribute("aria-label", `Play: ${label}`);
    };
    play.addEventListener("click", () => {
      if (timer) return stop();
      if (Number(range.value) === frames.length - 1) range.value = 0;
      play.textContent = "Pause";
      play.setAttribute("aria-label", `Pause: ${label}`);
      timer = setInterval(() => {
        range.value = Number(range.value) + 1;
        draw();
        if (Number(range.value) === frames.length - 1) stop();
      }, pause);
    });
    range.addEventListener("input", () => { stop(); draw(); });
    narrow.addEventListener("change", () => { layOut(); draw(); });
    layOut();
    sheet.decode().then(draw);
  }

  // On paper nothing can be unfolded.
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details:not(.frames)")) folded.open = true;
  });

  document.addEventListener("DOMContentLoaded", () => {
    wireTheme();
    wireContents();
    document.querySelectorAll(".slider").forEach(wireSlider);
  });
})();
