// Copies values, selects a focused value, warns before the user leaves a value that was not stored, and sends each form once. Pages
// work without it.
"use strict";

document.documentElement.classList.add("has-script");

let isStored = false;

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
  setTimeout(() => delete target.dataset.sent, 2000);
});

// The browser kept the page as it was left. Its forms can be sent again. A value was shown once, so it is not shown again.
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  for (const form of document.forms) delete form.dataset.sent;
  if (document.getElementById("key-value")) location.reload();
});
