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
import { contentOf } from "./layout";
import { useHistory } from "./useHistory";

const STORED = "graph";
const STORE_AFTER_MS = 300;

function stored(): Graph {
  try {
    return fromDocument(JSON.parse(localStorage.getItem(STORED) ?? ""));
  } catch {
    return { nodes: [], edges: [] };
  }
}

export function useGraph() {
  const [{ nodes, edges }, setGraph] = useState<Graph>(stored);
  const document = useMemo(() => toDocument(nodes, edges), [nodes, edges]);
  useStored(document);

  const show = useCallback((made: GraphDocument) => setGraph(fromDocument(made)), []);
  const history = useHistory<GraphDocument>(show);
  /** Change the graph by something that can be undone; changes with the same tag, one after the other, count as one. */
  const edit = (change: (graph: Graph) => Graph, tag?: string) => {
    history.remember(document, tag);
    setGraph(change);
  };

  // What lies in a frame is found when it is grasped: on its way over other nodes it does not collect them.
  const grasped = useRef(new Map<string, ReadonlySet<string>>());
  const onNodesChange = useCallback((changes: NodeChange<CanvasNode>[]) => {
    setGraph((graph) => {
      const all = withContents(
        changes,
        graph.nodes,
        (frame) => grasped.current.get(frame.id) ?? contentOf(frame, graph.nodes),
      );
      return { ...graph, nodes: applyNodeChanges(all, graph.nodes) };
    });
  }, []);
  const onEdgesChange = useCallback(
    (changes: EdgeChange[]) =>
      setGraph((graph) => ({ ...graph, edges: applyEdgeChanges(changes, graph.edges) })),
    [],
  );

  return {
    graph: { nodes, edges },
    document,
    history,
    edit,
    /** Replace the whole graph; throws an Error if it is none. */
    open: (made: GraphDocument) => {
      const opened = fromDocument(made);
      edit(() => opened);
    },
    choose: (wanted: (node: CanvasNode) => boolean) =>
      setGraph((graph) => ({
        ...graph,
        nodes: graph.nodes.map((node) => ({ ...node, selected: wanted(node) })),
      })),
    /** What the canvas tells of. */
    handlers: {
      onNodesChange,
      onEdgesChange,
      onNodeDragStart: () => {
        history.remember(document);
        grasped.current = new Map(
          nodes.filter(isFrame).map((frame) => [frame.id, contentOf(frame, nodes)] as const),
        );
      },
      onNodeDragStop: () => grasped.current.clear(),
      onBeforeDelete: (going: { nodes: CanvasNode[]; edges: Edge[] }) => {
        history.remember(document);
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
