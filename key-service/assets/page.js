// Copies values, selects a focused value, warns before the user leaves a value that was not stored, sends each form once, and filters
// the objects of a picker. Pages work without it.
"use strict";

document.documentElement.classList.add("has-script");

let isStored = false;

// On a narrow screen, the navigation is wider than the screen. This script may run before or after the document is complete, but
// before the page has loaded.
addEventListener("load", () => {
  document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
});

document.addEventListener("focusin", ({ target }) => {
  if (target.matches("[data-select]")) target.select();
});

document.addEventListener("click", async ({ target }) => {
  if (target.closest("[data-stored]")) isStored = true;
  const button = target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  const hasCopied = await copy(source.value ?? source.textContent);
  if (hasCopied) isStored = true;
  // A screen reader announces the text only if it changes, so empty it first.
  const status = document.getElementById("copied");
  status.textContent = "";
  setTimeout(() => (status.textContent = hasCopied ? "Copied" : "Select the text and copy it by hand"), 50);
});

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

// The page shows the value only once, so browsers ask before they leave the page.
addEventListener("beforeunload", (event) => {
  if (document.getElementById("key-value") && !isStored) event.preventDefault();
});

// A second click while the first request is on its way would send the form again.
addEventListener("submit", (event) => {
  const { target } = event;
  if (target.method !== "post") return;
  if ("sent" in target.dataset) event.preventDefault();
  target.dataset.sent = "";
  // The answer is another page. If the user stops the request, the form can be sent again after this time.
  setTimeout(() => delete target.dataset.sent, 30000);
});

// The browser kept the page as it was left. Its forms can be sent again. A value was shown once, so it is not shown again.
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  for (const form of document.forms) delete form.dataset.sent;
  if (document.getElementById("key-value")) location.reload();
});

// Shows the objects whose name, description or group has every word of the search, and opens their groups.
document.addEventListener("input", ({ target }) => {
  if (target.matches("[data-picker]")) find(target.closest(".picker"), target.value);
});

document.addEventListener("keydown", (event) => {
  // Enter would send the form.
  if (event.key === "Enter" && event.target.matches("[data-picker]")) event.preventDefault();
});

function find(picker, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = picker.querySelectorAll(".picker-row");
  let found = 0;
  for (const group of picker.querySelectorAll("details")) {
    // Without words, each group is as it was before the search.
    group.dataset.wasOpen ??= group.open;
    const title = group.querySelector("summary").textContent;
    let isEmpty = true;
    for (const row of group.querySelectorAll(".picker-row")) {
      const about = `${title} ${row.querySelector(".picker-text").textContent}`.toLowerCase();
      row.hidden = !words.every((word) => about.includes(word));
      if (!row.hidden) {
        isEmpty = false;
        found += 1;
      }
    }
    group.hidden = isEmpty;
    group.open = words.length > 0 || group.dataset.wasOpen === "true";
    if (words.length === 0) delete group.dataset.wasOpen;
  }
  const status = picker.querySelector("[role=status]");
  status.textContent = words.length === 0 ? "" : `${found} of ${rows.length} objects`;
}
