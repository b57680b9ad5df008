// The server's word on what is wrong with knobs and inputs, told apart by what it is about. It asks nobody.

import type { ApiError } from "../api/http";

const FOUND = /(?:^|; )([a-z_][\w.]*): ((?:(?!; [a-z_][\w.]*: ).)+)/gs;
const ABOUT_INPUT = [/ needs the input '(\w+)'/, /^'(\w+)' (?:takes|is) /];

/** Return what the server says is wrong by knob or port: its message is `steps: …; hires.scale: …`, or names an input. */
export function problemsOf({
  status,
  message,
  hint,
}: Pick<ApiError, "status" | "message" | "hint">): Record<string, string> {
  if (status !== 422) return {};
  for (const pattern of ABOUT_INPUT) {
    const port = pattern.exec(message)?.[1];
    if (port) return { [port]: `${message}. ${hint}`.replace("..", ".") };
  }
  const found: Record<string, string> = {};
  for (const [, path, text] of message.matchAll(FOUND)) {
    if (path && text) found[path] = text.charAt(0).toUpperCase() + text.slice(1);
  }
  return found;
}
