// Where nodes stand when nobody has placed them: columns from left to right, wires as straight as can be.

import type { Edge } from "@xyflow/react";

import type { Box, CanvasNode } from "./document";

const WIDTH = 300;
const HEIGHT = 190;
const GAP = { right: 80, below: 60, beside: 40 };
const FRAME = { side: 24, top: 52 };

export interface Way {
  /** Whether the page is so narrow that the graph goes from above to below. */
  isNarrow: boolean;
  /** How much higher a node will be when it has run. */
  growthOf: (id: string) => number;
}

const AS_THEY_ARE: Way = { isNarrow: false, growthOf: () => 0 };

/**
 * Return the nodes in columns, each one to the right of all it needs, or, on a narrow page, in rows, each one below all
 * it needs; frames go around what lay in them.
 */
export function laidOut(
  nodes: readonly CanvasNode[],
  edges: readonly Edge[],
  { isNarrow, growthOf }: Way = AS_THEY_ARE,
): CanvasNode[] {
  const jobs = nodes.filter(({ type }) => type === "job");
  const steps = Map.groupBy(jobs, depthsOf(jobs, edges));
  const [along, across] = isNarrow ? (["y", "x"] as const) : (["x", "y"] as const);
  const length = (node: CanvasNode, axis: "x" | "y") =>
    axis === "x" ? sizeOf(node).width : sizeOf(node).height + growthOf(node.id);
  const places = new Map<string, { x: number; y: number }>();
  let start = 0;
  for (const depth of [...steps.keys()].sort((a, b) => a - b)) {
    const step = steps.get(depth) ?? [];
    const placeOfSources = (id: string) => {
      const sources = edges.filter(({ target }) => target === id).map(({ source }) => places.get(source));
      const known = sources.flatMap((place) => place?.[across] ?? []);
      return known.length ? known.reduce((sum, place) => sum + place, 0) / known.length : Infinity;
    };
    const wanted = new Map(step.map(({ id }) => [id, placeOfSources(id)]));
    const inOrder = depth
      ? step.toSorted((a, b) => (wanted.get(a.id) ?? 0) - (wanted.get(b.id) ?? 0) || 0)
      : step;
    let beside = 0;
    for (const node of inOrder) {
      places.set(node.id, isNarrow ? { x: beside, y: start } : { x: start, y: beside });
      beside += length(node, across) + GAP.beside;
    }
    start += Math.max(...step.map((node) => length(node, along))) + (isNarrow ? GAP.below : GAP.right);
  }
  return nodes.map((node) => {
    const place = places.get(node.id);
    if (place) return { ...node, position: place };
    const content = contentOf(node, nodes);
    const placed = jobs
      .filter(({ id }) => content.has(id))
      .map((job) => ({ ...job, position: places.get(job.id) ?? job.position }));
    if (!placed.length) return node;
    const { x: left, y: top, ...size } = around(placed);
    return { ...node, position: { x: left, y: top }, ...size };
  });
}

/** Return a function that tells how many wires lead to a node, one after the other. */
function depthsOf(jobs: readonly CanvasNode[], edges: readonly Edge[]): (node: CanvasNode) => number {
  const known = new Set(jobs.map(({ id }) => id));
  const depths = new Map<string, number>();
  const depthOf = (id: string, before: ReadonlySet<string>): number => {
    const found = depths.get(id);
    if (found !== undefined) return found;
    if (before.has(id)) return 0;
    const sources = edges.filter(({ target, source }) => target === id && known.has(source));
    const depth = Math.max(-1, ...sources.map(({ source }) => depthOf(source, new Set([...before, id])))) + 1;
    depths.set(id, depth);
    return depth;
  };
  return ({ id }) => depthOf(id, new Set());
}

function sizeOf({ measured, width, height }: CanvasNode): { width: number; height: number } {
  return { width: measured?.width ?? width ?? WIDTH, height: measured?.height ?? height ?? HEIGHT };
}

/** Return the place and size of a frame around some nodes. */
export function around(nodes: readonly CanvasNode[]): Box {
  const left = Math.min(...nodes.map(({ position }) => position.x)) - FRAME.side;
  const top = Math.min(...nodes.map(({ position }) => position.y)) - FRAME.top;
  const right = Math.max(...nodes.map((node) => node.position.x + sizeOf(node).width)) + FRAME.side;
  const bottom = Math.max(...nodes.map((node) => node.position.y + sizeOf(node).height)) + FRAME.side;
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** Return the ids of the nodes that lie in a frame: those whose middle does. A frame in a frame lies wholly in it. */
export function contentOf(frame: CanvasNode, nodes: readonly CanvasNode[]): Set<string> {
  const box = { ...frame.position, ...sizeOf(frame) };
  const holds = (x: number, y: number) =>
    x >= box.x && y >= box.y && x <= box.x + box.width && y <= box.y + box.height;
  const inside = nodes.filter((node) => {
    const { x, y } = node.position;
    const { width, height } = sizeOf(node);
    if (node.id === frame.id) return false;
    return node.type === "job"
      ? holds(x + width / 2, y + height / 2)
      : holds(x, y) && holds(x + width, y + height);
  });
  return new Set(inside.map(({ id }) => id));
}
