// What the parts of the canvas share: what jobs are known, what can be done to nodes, and how these are doing.

import { createContext } from "react";

import type { JobData } from "./document";
import type { Signatures } from "./editing";
import type { Times } from "./fanOut";
import type { Refusal } from "./refusals";
import type { Run } from "./useRuns";

/** What hardly ever changes: who uses it is not drawn again when a node is. */
export interface CanvasParts {
  signatures: Signatures;
  /** Give a frame another name. */
  onTitle: (frame: string, title: string) => void;
  /** Change what is set at a node; changes with the same tag, one after the other, are undone together. */
  onData: (node: string, data: Partial<JobData>, tag?: string) => void;
  /** Show a result of a node in full. */
  onOpen: (node: string, artifact: string) => void;
}

export const Canvas = createContext<CanvasParts>({
  signatures: new Map(),
  onTitle: () => undefined,
  onData: () => undefined,
  onOpen: () => undefined,
});

export interface CanvasState {
  /** The last runs, by node. */
  runs: ReadonlyMap<string, Run>;
  /** How often each node will run. */
  times: ReadonlyMap<string, Times>;
  /** Why the graph did not run, if a node is to blame. */
  refusal: Refusal | null;
}

export const Doing = createContext<CanvasState>({ runs: new Map(), times: new Map(), refusal: null });
