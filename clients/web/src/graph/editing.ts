// What can be done to a graph on the canvas, as functions from one graph to the next. It draws nothing.

import type { Connection, Edge, NodeChange } from "@xyflow/react";

import type { Signature } from "../api/types";
import { fits } from "../forms/fits";
import { type CanvasNode, type Graph, type JobData, frame, fromDocument, isJob, wire } from "./document";
import { around, contentOf } from "./layout";

export type Signatures = ReadonlyMap<string, Signature>;
export type Side = "source" | "target";

/** The end of a wire that was let go over the empty canvas. */
export interface LooseEnd {
  node: string;
  port: string;
  side: Side;
}

/** Return the type of a port of a node; without a name, of its first port. */
export function portType(
  { nodes }: Graph,
  signatures: Signatures,
  node: string,
  side: Side,
  name: string | null | undefined,
): string | undefined {
  const found = nodes.find(({ id }) => id === node);
  const signature = found && isJob(found) ? signatures.get(found.data.job) : undefined;
  const ports = signature?.[side === "source" ? "outputs" : "inputs"] ?? [];
  return (name ? ports.find((port) => port.name === name) : ports[0])?.type;
}

/** Return why a wire may not be drawn, in words, or null if it may. */
export function whyNot(graph: Graph, signatures: Signatures, wanted: Connection | Edge): string | null {
  const { source, sourceHandle, target, targetHandle } = wanted;
  if (reaches(graph.edges, target, source)) return `${source} waits for ${target}: that would be a circle.`;
  const from = portType(graph, signatures, source, "source", sourceHandle);
  const to = portType(graph, signatures, target, "target", targetHandle);
  return fits(from, to) ? null : `${targetHandle ?? target} takes ${to ?? "nothing"}, not ${from ?? "this"}.`;
}

/** Tell whether wires lead from one node to another. */
function reaches(edges: readonly Edge[], from: string, to: string, seen = new Set<string>()): boolean {
  if (from === to) return true;
  if (seen.has(from)) return false;
  seen.add(from);
  return edges.some(({ source, target }) => source === from && reaches(edges, target, to, seen));
}

/** Return the wires with one more; a port that takes one value loses the wire it had. */
export function withWire({ nodes, edges }: Graph, signatures: Signatures, wanted: Connection): Edge[] {
  const { source, sourceHandle, target, targetHandle } = wanted;
  const node = nodes.find(({ id }) => id === target);
  const ports = node && isJob(node) ? signatures.get(node.data.job)?.inputs : [];
  const isList = ports?.find(({ name }) => name === targetHandle)?.list;
  const added = wire(source, sourceHandle, target, targetHandle ?? "");
  return [
    ...edges.filter(
      (edge) =>
        edge.id !== added.id && (isList || edge.target !== target || edge.targetHandle !== targetHandle),
    ),
    added,
  ];
}

/** Return a graph with one more job, chosen, wired to the loose end if there is one. */
export function withJob(
  graph: Graph,
  signatures: Signatures,
  signature: Signature,
  position: { x: number; y: number },
  from?: LooseEnd,
): Graph {
  const id = freshKey(signature.name, keysOf(graph));
  const data: JobData = { job: signature.name, inputs: {}, params: {} };
  const nodes: CanvasNode[] = [...unchosen(graph.nodes), { id, type: "job", position, data, selected: true }];
  const made = { nodes, edges: graph.edges };
  const type = from && portType(graph, signatures, from.node, from.side, from.port);
  if (from?.side === "source") {
    const port = signature.inputs.find((one) => fits(type, one.type));
    if (!port) return made;
    const wanted = { source: from.node, sourceHandle: from.port, target: id, targetHandle: port.name };
    return { nodes, edges: withWire(made, signatures, wanted) };
  }
  const port = from && signature.outputs.find((one) => fits(one.type, type));
  if (!port) return made;
  const wanted = { source: id, sourceHandle: port.name, target: from.node, targetHandle: from.port };
  return { nodes, edges: withWire(made, signatures, wanted) };
}

/** Return a graph with a document's nodes beside those there are, under new keys where theirs are taken; they are chosen. */
export function pasted(graph: Graph, document: unknown, offset = 40): Graph {
  const added = fromDocument(document);
  const taken = keysOf(graph);
  const names = new Map<string, string>();
  for (const { id } of added.nodes) {
    const key = freshKey(id, taken);
    taken.add(key);
    names.set(id, key);
  }
  const name = (id: string) => names.get(id) ?? id;
  return {
    nodes: [
      ...unchosen(graph.nodes),
      ...added.nodes.map((node) => ({
        ...node,
        id: name(node.id),
        selected: true,
        position: { x: node.position.x + offset, y: node.position.y + offset },
      })),
    ],
    edges: [
      ...graph.edges,
      ...added.edges.map(({ source, sourceHandle, target, targetHandle }) =>
        wire(name(source), sourceHandle ?? null, name(target), targetHandle ?? ""),
      ),
    ],
  };
}

/** Return the chosen nodes with what lies in chosen frames, and the wires between them. */
export function chosenPart({ nodes, edges }: Graph): Graph {
  const chosen = nodes.filter(({ selected }) => selected);
  const ids = new Set(chosen.map(({ id }) => id));
  for (const node of chosen) if (!isJob(node)) contentOf(node, nodes).forEach((id) => ids.add(id));
  return {
    nodes: nodes.filter(({ id }) => ids.has(id)),
    edges: edges.filter(({ source, target }) => ids.has(source) && ids.has(target)),
  };
}

/** Return a graph with a frame around the chosen nodes, or, when none is chosen, an empty one at a place. */
export function framed(graph: Graph, place: { x: number; y: number }): Graph {
  const chosen = graph.nodes.filter((node) => node.selected && isJob(node));
  const box = chosen.length ? around(chosen) : { ...place, width: 360, height: 260 };
  const made = frame(freshKey("frame", keysOf(graph)), "Group", box);
  return { nodes: [{ ...made, selected: true }, ...unchosen(graph.nodes)], edges: graph.edges };
}

/** Return the node or frame that is chosen, if it is one. */
export function onlyChosen({ nodes }: Graph): CanvasNode | undefined {
  const [node, ...others] = nodes.filter(({ selected }) => selected);
  return others.length ? undefined : node;
}

/** Return a graph in which something else is set at a node. */
export const withData = ({ nodes, edges }: Graph, id: string, data: Record<string, unknown>): Graph => ({
  nodes: nodes.map((node) =>
    node.id === id ? ({ ...node, data: { ...node.data, ...data } } as CanvasNode) : node,
  ),
  edges,
});

/** Return a graph in which a node has another key. */
export function renamed({ nodes, edges }: Graph, from: string, to: string): Graph {
  const name = (id: string) => (id === from ? to : id);
  return {
    nodes: nodes.map((node) => ({ ...node, id: name(node.id) })),
    edges: edges.map(({ source, sourceHandle, target, targetHandle }) =>
      wire(name(source), sourceHandle ?? null, name(target), targetHandle ?? ""),
    ),
  };
}

/** Return changes of the canvas with those added that frames bring about: what lay in one moves with it. */
export function withContents(
  changes: readonly NodeChange<CanvasNode>[],
  nodes: readonly CanvasNode[],
  contentOfFrame: (frame: CanvasNode) => ReadonlySet<string>,
): NodeChange<CanvasNode>[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const moved = new Set(changes.flatMap((change) => (change.type === "position" ? [change.id] : [])));
  const added: NodeChange<CanvasNode>[] = [];
  for (const change of changes) {
    const moving = change.type === "position" && byId.get(change.id);
    if (!moving || isJob(moving) || !change.position) continue;
    // A frame that is made larger at its upper or left side moves too, but what lies in it stays.
    if (changes.some((other) => other.type === "dimensions" && other.id === change.id)) continue;
    const [x, y] = [change.position.x - moving.position.x, change.position.y - moving.position.y];
    for (const id of contentOfFrame(moving)) {
      const node = byId.get(id);
      if (!node || moved.has(id)) continue;
      moved.add(id);
      const position = { x: node.position.x + x, y: node.position.y + y };
      added.push({ type: "position", id, position, dragging: change.dragging });
    }
  }
  return [...changes, ...added];
}

const keysOf = ({ nodes }: Graph) => new Set(nodes.map(({ id }) => id));
const unchosen = (nodes: readonly CanvasNode[]) => nodes.map((node) => ({ ...node, selected: false }));

/** Return a key for a new node: the job's own name, with a number where that is taken. */
export function freshKey(name: string, taken: ReadonlySet<string>): string {
  const base = name.slice(name.lastIndexOf(".") + 1).replace(/_\d+$/, "");
  if (!taken.has(base)) return base;
  let number = 2;
  while (taken.has(`${base}_${number}`)) number++;
  return `${base}_${number}`;
}
