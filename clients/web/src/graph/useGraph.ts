// The graph on the canvas: its nodes and wires, undo and redo, and that it is there again when the page is opened.

import {
  type Edge,
  type EdgeChange,
  type NodeChange,
  applyEdgeChanges,
  applyNodeChanges,
} from "@xyflow/react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import {
  type CanvasNode,
  type Graph,
  type GraphDocument,
  fromDocument,
  isFrame,
  toDocument,
} from "./document";
import { withContents } from "./editing";
import { type History, NO_HISTORY, redone, remembered, undone } from "./history";
import { type Way, contentOf, laidOut } from "./layout";

const STORED = "graph";
const STORE_AFTER_MS = 300;

function stored(): Graph {
  try {
    return fromDocument(JSON.parse(localStorage.getItem(STORED) ?? ""));
  } catch {
    return { nodes: [], edges: [] };
  }
}

interface State {
  graph: Graph;
  history: History<GraphDocument>;
}

const documentOf = ({ nodes, edges }: Graph): GraphDocument => toDocument(nodes, edges);

function stepped({ graph, history }: State, step: typeof undone<GraphDocument>): State {
  const made = step(history, documentOf(graph));
  return made ? { graph: fromDocument(made.state), history: made.history } : { graph, history };
}

export function useGraph() {
  const [{ graph, history }, setState] = useState<State>(() => ({ graph: stored(), history: NO_HISTORY }));
  const document = useMemo(() => documentOf(graph), [graph]);
  useStored(document);

  /** Change what can be seen without a trace in the history. */
  const adjust = useCallback(
    (change: (graph: Graph) => Graph) => setState((state) => ({ ...state, graph: change(state.graph) })),
    [],
  );
  /** Change the graph by something that can be undone; changes with the same tag, one after the other, count as one. */
  const edit = useCallback(
    (change: (graph: Graph) => Graph, tag?: string) =>
      setState((state) => ({
        graph: change(state.graph),
        history: remembered(state.history, () => documentOf(state.graph), tag),
      })),
    [],
  );

  // What lies in a frame is found when it is grasped: on its way over other nodes it does not collect them.
  const grasped = useRef(new Map<string, ReadonlySet<string>>());
  const onNodesChange = useCallback(
    (changes: NodeChange<CanvasNode>[]) =>
      adjust((now) => {
        const all = withContents(
          changes,
          now.nodes,
          (frame) => grasped.current.get(frame.id) ?? contentOf(frame, now.nodes),
        );
        return { ...now, nodes: applyNodeChanges(all, now.nodes) };
      }),
    [adjust],
  );
  const onEdgesChange = useCallback(
    (changes: EdgeChange[]) => adjust((now) => ({ ...now, edges: applyEdgeChanges(changes, now.edges) })),
    [adjust],
  );

  return {
    graph,
    document,
    edit,
    undo: () => setState((state) => stepped(state, undone)),
    redo: () => setState((state) => stepped(state, redone)),
    canUndo: history.past.length > 0,
    canRedo: history.future.length > 0,
    /** Replace the whole graph; throws an Error if it is none. */
    open: (made: GraphDocument) => {
      const opened = fromDocument(made);
      edit(() => opened);
    },
    /** Lay out what nobody has placed, as soon as it is known how large it is. */
    settle: (way: Way) => adjust(({ nodes, edges }) => ({ nodes: laidOut(nodes, edges, way), edges })),
    choose: (wanted: (node: CanvasNode) => boolean) =>
      adjust(({ nodes, edges }) => ({
        nodes: nodes.map((node) => ({ ...node, selected: wanted(node) })),
        edges,
      })),
    /** What the canvas tells of. */
    handlers: {
      onNodesChange,
      onEdgesChange,
      onNodeDragStart: () => {
        edit((now) => now);
        grasped.current = new Map(
          graph.nodes.filter(isFrame).map((frame) => [frame.id, contentOf(frame, graph.nodes)] as const),
        );
      },
      onNodeDragStop: () => grasped.current.clear(),
      onBeforeDelete: (going: { nodes: CanvasNode[]; edges: Edge[] }) => {
        edit((now) => now);
        return Promise.resolve(going);
      },
    },
  };
}

/** Keep the document in the browser, a moment after the last change and when the page is left. */
function useStored(document: GraphDocument) {
  const last = useRef(document);
  useEffect(() => {
    last.current = document;
    const write = setTimeout(() => store(document), STORE_AFTER_MS);
    return () => clearTimeout(write);
  }, [document]);
  useEffect(() => {
    const write = () => store(last.current);
    window.addEventListener("pagehide", write);
    return () => {
      window.removeEventListener("pagehide", write);
      write();
    };
  }, []);
}

const store = (document: GraphDocument) => localStorage.setItem(STORED, JSON.stringify(document));
