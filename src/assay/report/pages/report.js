"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; });

  const tip = document.getElementById("tip");
  const words = (target) => target instanceof Element && target.closest(".plot [aria-roledescription][aria-label], [data-words]");
  document.addEventListener("pointermove", (event) => {
    const mark = words(event.target);
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.dataset.words || mark.getAttribute("aria-label");
    const room = innerWidth - tip.offsetWidth - 8;
    tip.style.left = Math.max(8, Math.min(event.clientX + 14, room)) + "px";
    tip.style.top = (event.clientY > innerHeight - 80 ? event.clientY - tip.offsetHeight - 12 : event.clientY + 18) + "px";
  });
  document.addEventListener("pointerleave", () => { tip.hidden = true; });
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open]):not(.example)")];
    opened.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((each) => { each.open = false; }));
})();
