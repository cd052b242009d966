// Copies values, selects a focused value, and warns before the user leaves a value that was not stored. Pages work without it.
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
