// Copy, cut and paste of chosen nodes, as a graph document: between windows, and to and from any text.

import { useWindowEvent } from "@mantine/hooks";

import { type Graph, toDocument } from "./document";
import { chosenPart, pasted } from "./editing";

export function useClipboard(graph: Graph, edit: (change: (graph: Graph) => Graph) => void): void {
  const copy = (event: ClipboardEvent): ReadonlySet<string> | null => {
    const part = chosenPart(graph);
    if (isTyping(event) || !part.nodes.length || !event.clipboardData) return null;
    event.clipboardData.setData("text/plain", JSON.stringify(toDocument(part.nodes, part.edges), null, 2));
    event.preventDefault();
    return new Set(part.nodes.map(({ id }) => id));
  };
  useWindowEvent("copy", (event) => void copy(event));
  useWindowEvent("cut", (event) => {
    const gone = copy(event);
    if (!gone) return;
    edit(({ nodes, edges }) => ({
      nodes: nodes.filter(({ id }) => !gone.has(id)),
      edges: edges.filter(({ source, target }) => !gone.has(source) && !gone.has(target)),
    }));
  });
  useWindowEvent("paste", (event) => {
    if (isTyping(event)) return;
    try {
      const document: unknown = JSON.parse(event.clipboardData?.getData("text/plain") ?? "");
      const next = pasted(graph, document);
      event.preventDefault();
      edit(() => next);
    } catch {
      // What is on the clipboard is no graph: there is nothing to paste here.
    }
  });
}

/** Tell whether the keys belong to a text field or to text that is marked. */
function isTyping({ target }: ClipboardEvent): boolean {
  const isField = target instanceof Element && target.closest("input, textarea, [contenteditable]");
  return Boolean(isField) || Boolean(window.getSelection()?.toString());
}
