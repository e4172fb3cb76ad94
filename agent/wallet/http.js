/*
 * One question over HTTP, one answer as JSON, bounded.
 *
 * Exports: `ask`, `secure`. Errors: `insecure`, `offline`, `timeout`, `bad_answer`, `rate_limited`,
 * `desk_fault`.
 *
 * Rules:
 * - https only; http to this very machine, for tests and the demo;
 * - no cookies, no referrer, no redirect, no cache; 15 s (a minute where pictures are sent and looked
 *   at), and 256 KiB of answer;
 * - what may be asked twice without harm is tried three times where no answer came or the desk was
 *   overloaded; what spends something is asked once, and its caller knows what a lost answer means;
 * - 5xx is the desk's fault, 429 asks to wait; other statuses are the caller's to read.
 */

import { WalletError } from "./errors.js";

const TIMEOUT_MS = 15_000;
const SLOW_MS = 60_000;
const LONGEST = 256 * 1024;
const PAUSES_MS = [400, 1200];

/** Return the URL of an address that may be asked. */
export function secure(address, base = undefined) {
  let url;
  try {
    url = new URL(address, base);
  } catch {
    throw new WalletError("malformed", { what: "an address" });
  }
  const here = /^(localhost|127\.0\.0\.1|\[::1\]|.*\.localhost)$/.test(url.hostname);
  if (url.username || url.password) throw new WalletError("malformed", { what: "an address" });
  if (url.protocol === "https:" || (url.protocol === "http:" && here)) return url;
  throw new WalletError("insecure", { host: url.host });
}

async function limited(response) {
  const reader = response.body?.getReader();
  if (!reader) return "";
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    size += part.value.length;
    if (size > LONGEST) {
      await reader.cancel();
      throw new WalletError("bad_answer", { what: "longer than 256 KiB" });
    }
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}

async function once(url, request, timeout_ms) {
  let response;
  let text;
  try {
    response = await fetch(url, {
      ...request,
      credentials: "omit",
      referrerPolicy: "no-referrer",
      redirect: "manual",
      cache: "no-store",
      signal: AbortSignal.timeout(timeout_ms),
    });
    if (response.type === "opaqueredirect" || (response.status >= 300 && response.status < 400)) {
      throw new WalletError("bad_answer", { host: url.host, what: "a redirect" });
    }
    text = await limited(response);
  } catch (error) {
    if (error instanceof WalletError) throw error;
    const late = error?.name === "TimeoutError" || error?.name === "AbortError";
    throw new WalletError(late ? "timeout" : "offline", { host: url.host, retry: true }, error);
  }
  if (response.status === 429) {
    const seconds = Number(response.headers.get("Retry-After")) || 30;
    throw new WalletError("rate_limited", { host: url.host, seconds, retry: true });
  }
  if (response.status >= 500) {
    throw new WalletError("desk_fault", { host: url.host, status: response.status, retry: true });
  }
  return { status: response.status, body: parsed(text, response) };
}

function parsed(text, response) {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    if (!response.ok) return null;
    throw new WalletError("bad_answer", { what: "no JSON" });
  }
}

/**
 * Ask once, or thrice.
 *
 * @param {string|URL} address
 * @param {{form?: object, json?: object, token?: string, post?: boolean, again?: boolean,
 *   slow?: boolean}} options
 *   `form` or `json` is sent by POST, `post` alone is an empty one; `again` may be asked twice
 *   (a GET always may)
 * @returns {Promise<{status: number, body: any}>} `body` null where there was none
 */
export async function ask(
  address,
  { form, json, token, post = false, again = false, slow = false } = {},
) {
  const url = secure(address);
  const headers = { Accept: "application/json" };
  if (token !== undefined) headers.Authorization = `Bearer ${token}`;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  let body = json === undefined ? undefined : JSON.stringify(json);
  if (form !== undefined) body = new URLSearchParams(form);
  const method = body !== undefined || post ? "POST" : "GET";
  for (let failed = 0; ; failed += 1) {
    try {
      return await once(url, { method, headers, body }, slow ? SLOW_MS : TIMEOUT_MS);
    } catch (error) {
      const twice = (again || method === "GET") && error.detail.retry && error.code !== "rate_limited";
      if (!twice || failed >= PAUSES_MS.length) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSES_MS[failed]));
    }
  }
}
