// The graph document: what is saved, posted and run. Turns the nodes and wires of the canvas into it and back.

import type { Edge, Node } from "@xyflow/react";

import type { Job } from "../api/types";
import { type Values, isRecord } from "../forms/schema";
import { laidOut } from "./layout";

export interface JobData extends Record<string, unknown> {
  job: string;
  /** What is typed or dropped into ports that no wire ends in. */
  inputs: Values;
  params: Values;
  /** What else the document says of this job: priority, map and so on. */
  options?: Values;
  /** Whether the node shows only the knobs that were changed. */
  isFolded?: boolean;
}

export interface FrameData extends Record<string, unknown> {
  title: string;
}

export type JobNode = Node<JobData, "job">;
/** A frame around some nodes: it has a name and takes along what lies in it. Jobs and the server do not know it. */
export type FrameNode = Node<FrameData, "frame">;
export type CanvasNode = JobNode | FrameNode;

export const isJob = (node: CanvasNode): node is JobNode => node.type === "job";
export const isFrame = (node: CanvasNode): node is FrameNode => node.type === "frame";

interface Point {
  x: number;
  y: number;
}

export interface Box extends Point {
  width: number;
  height: number;
}

export interface GraphDocument {
  version: 1;
  jobs: Record<string, { job: string; inputs: Values; params: Values }>;
  ui?: {
    positions?: Record<string, Point>;
    frames?: Record<string, Box & { title: string }>;
    /** The nodes that show only the knobs that were changed. */
    folded?: string[];
  };
}

export interface Graph {
  nodes: CanvasNode[];
  edges: Edge[];
  /** Whether nobody has placed the nodes: they are laid out again when it is known how large they are. */
  isUnplaced?: boolean;
}

interface Reference {
  job: string;
  output?: string;
}

export const isReference = (value: unknown): value is Reference =>
  isRecord(value) && typeof value["job"] === "string";

/** Return the document of nodes and wires; several wires into one port become a list. */
export function toDocument(nodes: readonly CanvasNode[], edges: readonly Edge[]): GraphDocument {
  const positions: Record<string, Point> = {};
  const document: GraphDocument = { version: 1, jobs: {}, ui: { positions } };
  for (const { id, data, position } of nodes.filter(isJob)) {
    const { job, params, options } = data;
    document.jobs[id] = { job, inputs: withWires(data.inputs, id, edges), params, ...options };
    positions[id] = rounded(position);
  }
  const folded = nodes.filter((node) => isJob(node) && node.data.isFolded).map(({ id }) => id);
  if (folded.length && document.ui) document.ui.folded = folded;
  const frames = nodes.filter(isFrame);
  if (frames.length && document.ui) {
    document.ui.frames = Object.fromEntries(
      frames.map(({ id, data, position, width = 0, height = 0 }) => [
        id,
        { title: data.title, ...rounded(position), width: Math.round(width), height: Math.round(height) },
      ]),
    );
  }
  return document;
}

function withWires(typed: Values, id: string, edges: readonly Edge[]): Values {
  const inputs = { ...typed };
  const into = Map.groupBy(
    edges.filter(({ target }) => target === id),
    ({ targetHandle }) => targetHandle ?? "",
  );
  for (const [port, wires] of into) {
    const wired = wires.map(({ source, sourceHandle }) => ({
      job: source,
      output: sourceHandle ?? undefined,
    }));
    const all = [...[typed[port] ?? []].flat(), ...wired];
    inputs[port] = all.length === 1 ? all[0] : all;
  }
  return inputs;
}

const rounded = ({ x, y }: Point): Point => ({ x: Math.round(x), y: Math.round(y) });

/** Return the nodes and wires of a document; those without a place are laid out. Throws an Error that says what is wrong. */
export function fromDocument(document: unknown): Graph {
  if (!isRecord(document) || document["version"] !== 1 || !isRecord(document["jobs"])) {
    throw new Error("This is no graph document: it needs a version 1 and jobs.");
  }
  const { jobs, ui = {} } = document as unknown as GraphDocument;
  const nodes: CanvasNode[] = Object.entries(ui.frames ?? {}).map(([id, { title, ...box }]) =>
    frame(id, title, box),
  );
  const edges: Edge[] = [];
  for (const [key, { job, inputs = {}, params = {}, ...options }] of Object.entries(jobs)) {
    const typed: Values = {};
    for (const [port, value] of Object.entries(inputs)) {
      const parts = [value].flat();
      const wired = parts.filter(isReference);
      for (const { job: source, output } of wired) edges.push(wire(source, output ?? null, key, port));
      if (!wired.length) typed[port] = value;
      else if (wired.length < parts.length) typed[port] = parts.filter((part) => !isReference(part));
    }
    const data: JobData = { job, inputs: typed, params };
    if (Object.keys(options).length) data.options = options;
    if (ui.folded?.includes(key)) data.isFolded = true;
    nodes.push({ id: key, type: "job", position: ui.positions?.[key] ?? { x: NaN, y: NaN }, data });
  }
  const isPlaced = nodes.every(({ position }) => Number.isFinite(position.x) && Number.isFinite(position.y));
  return isPlaced ? { nodes, edges } : { nodes: laidOut(nodes, edges), edges, isUnplaced: true };
}

export const wire = (source: string, output: string | null, target: string, port: string): Edge => ({
  id: `${source}.${output ?? ""}>${target}.${port}`,
  source,
  sourceHandle: output,
  target,
  targetHandle: port,
});

export const frame = (id: string, title: string, { x, y, width, height }: Box): FrameNode => ({
  id,
  type: "frame",
  position: { x, y },
  width,
  height,
  data: { title },
  // Behind everything, also while it is chosen; only its name and its corners can be grasped.
  zIndex: -2000,
  dragHandle: ".frame-title",
  style: { pointerEvents: "none" },
});

/** Return the part of a document that one job needs: the job itself and all before it. */
export function upTo(document: GraphDocument, key: string): GraphDocument {
  const needed = new Set<string>();
  const visit = (name: string) => {
    const job = document.jobs[name];
    if (!job || needed.has(name)) return;
    needed.add(name);
    for (const value of Object.values(job.inputs)) {
      for (const reference of [value].flat().filter(isReference)) visit(reference.job);
    }
  };
  visit(key);
  const jobs = Object.entries(document.jobs).filter(([name]) => needed.has(name));
  return { ...document, jobs: Object.fromEntries(jobs) };
}

/** Return the document of a graph that ran, from its jobs; the parts that a job was split into are no nodes. */
export function fromJobs(jobs: readonly Job[]): GraphDocument {
  const whole = jobs.filter((job) => job.key && job.parent === null);
  const keys = new Map(whole.map((job) => [job.id, job.key ?? job.id]));
  const named = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(named);
    return isReference(value) ? { ...value, job: keys.get(value.job) ?? value.job } : value;
  };
  const document: GraphDocument = { version: 1, jobs: {}, ui: {} };
  for (const { id, key, job, inputs, params } of whole) {
    const wired = Object.entries(inputs).map(([port, value]) => [port, named(value)]);
    document.jobs[key ?? id] = { job, inputs: Object.fromEntries(wired) as Values, params };
  }
  return document;
}
