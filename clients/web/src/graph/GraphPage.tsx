// The page on which jobs are wired together and run as one graph.

import { Box, Stack, Text, useComputedColorScheme } from "@mantine/core";
import { useDisclosure, useHotkeys } from "@mantine/hooks";
import { ReactFlowProvider } from "@xyflow/react";
import { Suspense, lazy, useEffect, useMemo, useState } from "react";
import { useLocation, useParams } from "wouter";

import { useSignatures } from "../api/queries";
import { AddJob } from "./AddJob";
import { Board } from "./Board";
import { Canvas, type CanvasParts, Doing } from "./canvas";
import { type GraphDocument, isJob } from "./document";
import { type LooseEnd, framed, onlyChosen, portType, withData, withJob } from "./editing";
import { timesOf } from "./fanOut";
import { type Way, laidOut } from "./layout";
import { Program } from "./Program";
import { Side } from "./Side";
import { Toolbar } from "./Toolbar";
import { chooseFile, saveFile, useArrivals } from "./useArrivals";
import { useClipboard } from "./useClipboard";
import { useGraph } from "./useGraph";
import { countMade, useRuns } from "./useRuns";
import { useInSight, useSettled } from "./useSettled";
import { useIsNarrow, useView } from "./useView";

const Opened = lazy(() => import("./Opened"));

/** How much higher a node is when it shows a result. */
const RESULT_HEIGHT = 130;

interface Adding {
  /** Where on the canvas the new job goes. */
  at: { x: number; y: number };
  /** The wire that was let go there. */
  from?: LooseEnd;
}

export default function GraphPage() {
  return (
    <ReactFlowProvider>
      <Editor />
    </ReactFlowProvider>
  );
}

function Editor() {
  const canvas = useGraph();
  const { graph, document, edit } = canvas;
  const running = useRuns(document);
  const { runs, refusal } = running;
  const { data: list = [] } = useSignatures();
  const signatures = useMemo(() => new Map(list.map((signature) => [signature.name, signature])), [list]);
  const times = useMemo(() => timesOf(document, signatures, countMade(runs)), [document, signatures, runs]);
  const [adding, setAdding] = useState<Adding | null>(null);
  const [opened, setOpened] = useState<{ node: string; artifact: string } | null>(null);
  const [isProgram, program] = useDisclosure();
  const { fit, show, placeFor, reveal } = useView();
  const isNarrow = useIsNarrow();
  const arrivals = useArrivals(canvas.open, fit);
  useAsked((id) => {
    setOpened(null);
    arrivals.openJob(id);
  });
  useClipboard(graph, edit);
  const way: Way = {
    isNarrow,
    growthOf: (id) => (Object.keys(runs.get(id)?.job.outputs ?? {}).length ? 0 : RESULT_HEIGHT),
  };
  useSettled(canvas, signatures.size > 0, way, fit);
  useInSight(onlyChosen(graph)?.id, show);
  const parts = useMemo<CanvasParts>(
    () => ({
      signatures,
      onTitle: (id, title) => edit((now) => withData(now, id, { title }), `title ${id}`),
      onData: (id, data, tag) => edit((now) => withData(now, id, data), tag),
      onOpen: (node, artifact) => setOpened({ node, artifact }),
    }),
    [signatures, edit],
  );
  const doing = useMemo(() => ({ runs, times, refusal }), [runs, times, refusal]);

  const run = async (part: GraphDocument) => {
    const refused = await running.run(part);
    if (refused) canvas.choose(({ id }) => id === refused.node);
  };

  const isDark = useComputedColorScheme("light") === "dark";
  const group = () => edit((now) => framed(now, placeFor()));
  // Also from within a text: it is what one does after typing it.
  useHotkeys([["mod+Enter", () => void run(document)]], []);
  useHotkeys([
    ["mod+Z", () => canvas.undo()],
    ["mod+shift+Z", () => canvas.redo()],
    ["mod+Y", () => canvas.redo()],
    ["mod+A", () => canvas.choose(() => true)],
    ["mod+G", group],
  ]);
  const shown = opened && runs.get(opened.node)?.job;
  const looseType =
    adding?.from && portType(graph, signatures, adding.from.node, adding.from.side, adding.from.port);
  return (
    <Canvas value={parts}>
      <Doing value={doing}>
        <Box className="scroll-column" style={{ display: "flex", overflow: "hidden" }}>
          <Box
            flex={1}
            pos="relative"
            style={{ minWidth: 0 }}
            onDragOver={(event) => event.preventDefault()}
            onDrop={arrivals.onDrop}
          >
            <Board
              graph={graph}
              signatures={signatures}
              runs={runs}
              isDark={isDark}
              handlers={canvas.handlers}
              isCovered={Boolean(shown ?? adding ?? isProgram)}
              edit={edit}
              onLoose={(at, from) => setAdding({ at, from })}
            />
            <Toolbar
              isEmpty={!graph.nodes.some(isJob)}
              canUndo={canvas.canUndo}
              canRedo={canvas.canRedo}
              isRunning={running.isRunning}
              onRun={() => void run(document)}
              onCancel={running.cancel}
              onAdd={() => setAdding({ at: placeFor(graph.nodes.findLast(({ selected }) => selected)) })}
              onUndo={() => canvas.undo()}
              onRedo={() => canvas.redo()}
              onLayout={() => {
                edit(({ nodes, edges }) => ({ nodes: laidOut(nodes, edges, way), edges }));
                fit();
              }}
              onFrame={group}
              onSave={() => saveFile(document)}
              onOpen={() => chooseFile(arrivals.openFile)}
              onProgram={program.open}
              onClear={() => edit(() => ({ nodes: [], edges: [] }))}
            />
            {!graph.nodes.length && <EmptyCanvas />}
          </Box>
          <Side canvas={canvas} signatures={signatures} runs={runs} refusal={refusal} run={run} />
        </Box>
        {adding && (
          <AddJob
            signatures={list}
            from={adding.from && { type: looseType, side: adding.from.side }}
            onAdd={(signature) => {
              edit((now) => withJob(now, signatures, signature, adding.at, adding.from));
              setAdding(null);
              reveal(adding.at);
            }}
            onClose={() => setAdding(null)}
          />
        )}
        {shown && (
          <Suspense>
            <Opened job={shown} artifact={opened.artifact} onClose={() => setOpened(null)} />
          </Suspense>
        )}
        {isProgram && <Program document={document} onClose={program.close} />}
      </Doing>
    </Canvas>
  );
}

/** Open the graph of the job that the address names: `#/graph/<job>`. */
function useAsked(openJob: (id: string) => void) {
  const asked = useParams()["*"];
  const [, navigate] = useLocation();
  useEffect(() => {
    if (!asked) return;
    openJob(asked);
    navigate("/graph", { replace: true });
  });
}

function EmptyCanvas() {
  return (
    <Stack
      pos="absolute"
      top="35%"
      left={0}
      right={0}
      px="md"
      align="center"
      gap={4}
      style={{ pointerEvents: "none", textAlign: "center" }}
    >
      <Text fw={600}>An empty canvas</Text>
      <Text size="sm" c="dimmed" maw={420}>
        Add a job with +, then pull wires from its ports. Or drop a result here to get the graph that made it.
      </Text>
    </Stack>
  );
}
