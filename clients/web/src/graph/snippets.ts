// A graph as a command and as a program: what to type to run it without this page.

import type { GraphDocument } from "./document";

export interface Snippets {
  curl: string;
  python: string;
}

/** Return the command and the program that run a document on the server at `origin`; the layout is left out. */
export function snippets({ version, jobs }: GraphDocument, origin: string): Snippets {
  const text = JSON.stringify({ version, jobs }, null, 2);
  return {
    curl: [
      `curl -sf ${origin}/v1/graphs -H 'Content-Type: application/json' -d '${text.replaceAll("'", "'\\''")}'`,
    ].join("\n"),
    python: [
      "from stable_core_client import Client",
      "",
      `graph = ${pythonOf(JSON.parse(text))}`,
      `client = Client(${pythonOf(origin)})`,
      'for name, job in client.graph(graph)["jobs"].items():',
      '    done = client.wait(job["id"])',
      '    for artifacts in done["outputs"].values():',
      "        for artifact in artifacts:",
      '            print(name, done["state"], artifact.get("path", artifact["id"]))',
    ].join("\n"),
  };
}

const NAMES = new Map<unknown, string>([
  [true, "True"],
  [false, "False"],
  [null, "None"],
]);

/** Return a JSON value as Python writes it. */
export function pythonOf(value: unknown, indent = ""): string {
  const inner = `${indent}    `;
  const joined = (open: string, parts: string[], close: string) =>
    parts.length
      ? `${open}\n${parts.map((part) => `${inner}${part},\n`).join("")}${indent}${close}`
      : open + close;
  if (Array.isArray(value)) {
    return joined(
      "[",
      value.map((item) => pythonOf(item, inner)),
      "]",
    );
  }
  if (typeof value === "object" && value !== null) {
    const items = Object.entries(value).map(
      ([name, item]) => `${JSON.stringify(name)}: ${pythonOf(item, inner)}`,
    );
    return joined("{", items, "}");
  }
  return NAMES.get(value) ?? JSON.stringify(value);
}
